#!/bin/sh
# Runs every session.   Usage: all.sh [HOST PORT [ID]]
set -eu
for session in talk login private file; do
    "$(dirname "$0")/$session.sh" "$@"
done
