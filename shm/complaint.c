// SPDX-License-Identifier: MIT
#include "shm/complaint.h"

#include <stdarg.h>
#include <stdio.h>

int shm_complain(const struct shm_complaint *complaint, int result, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(complaint->text, complaint->size, format, arguments);
	va_end(arguments);
	return result;
}
