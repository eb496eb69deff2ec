#include "configuration.h"

#if TOLD_ABOUT
/* TRACED_ABOUT */
#endif
static RETURNED TRACED(PARAMETERS)
{
/* repeat ASSIGNED */
    const NUMBER ASSIGNED_NAME = ASSIGNED_VALUE;
/* end ASSIGNED */
/* repeat STORED */
    *STORED_AT = STORED_VALUE;
/* end STORED */
#if RESULT_USED
    return RESULT;
#endif
}
