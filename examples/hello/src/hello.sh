#!/bin/sh
echo "GREETING, $NAME. I am user $(id -u) on $(uname -s)."
