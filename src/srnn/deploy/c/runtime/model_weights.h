/* Constants of NAME: FLASH bytes. To be included by model.c only. */
#ifndef MODEL_WEIGHTS_H
#define MODEL_WEIGHTS_H

/* repeat CONSTANTS */
/* CONSTANT_ABOUT */
static const CONSTANT_TYPE CONSTANT[CONSTANT_LENGTH] = {
CONSTANT_VALUES
};

/* end CONSTANTS */
#endif
