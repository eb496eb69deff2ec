#include "layouts/example.c"
