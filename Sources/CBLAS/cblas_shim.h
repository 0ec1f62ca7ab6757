/* OpenBLAS through its C interface. A header of our own, because a module map cannot name a
   header that lies on the system's include path. */
#include <cblas.h>
