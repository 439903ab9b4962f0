# What CI checks of this room, besides `make lint` and `make test`.
make drill ITEMS=2000
