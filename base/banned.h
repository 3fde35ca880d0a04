/* Calls that are unsafe or that tie a room to something it must not know do not compile. Included into every file by the build. */
#ifndef GALLOC_BASE_BANNED_H
#define GALLOC_BASE_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define GALLOC_BANNED(func) galloc_banned_##func##_use_the_base_room_instead

#undef strcpy
#undef strcat
#undef strncpy
#undef strncat
#undef sprintf
#undef vsprintf
#define strcpy(...) GALLOC_BANNED(strcpy)
#define strcat(...) GALLOC_BANNED(strcat)
#define strncpy(...) GALLOC_BANNED(strncpy)
#define strncat(...) GALLOC_BANNED(strncat)
#define sprintf(...) GALLOC_BANNED(sprintf)
#define vsprintf(...) GALLOC_BANNED(vsprintf)
#define gets(...) GALLOC_BANNED(gets)
#define atoi(...) GALLOC_BANNED(atoi)
#define atol(...) GALLOC_BANNED(atol)
#define atoll(...) GALLOC_BANNED(atoll)
#define strtok(...) GALLOC_BANNED(strtok)
#define localtime(...) GALLOC_BANNED(localtime)
#define gmtime(...) GALLOC_BANNED(gmtime)
#define ctime(...) GALLOC_BANNED(ctime)
#define asctime(...) GALLOC_BANNED(asctime)

#endif
