sub/a.c
