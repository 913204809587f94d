"""A trace of failures in a few lines: one of three nodes fails twice, the second time for long."""

LINES = [
    "time,node,state",
    "0,a,up",
    "0,b,up",
    "0,c,up",
    "500,b,down",
    "620,b,up",
    "700,b,down",
    "9000,b,up",
    "20000,a,up",
]
