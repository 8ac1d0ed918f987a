#!/usr/bin/env bash
# One host of three lies in all that it answers: it is named, and nothing of it reaches the others or the controller.
set -euo pipefail
python3 lies.py
