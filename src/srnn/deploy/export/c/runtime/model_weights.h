/* Constants of NAME: FLASH bytes. To be included by model.c only. */
#ifndef MODEL_WEIGHTS_H
#define MODEL_WEIGHTS_H

CONSTANTS
#endif
