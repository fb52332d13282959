/*
 * Preloaded into the process that uses libcamera's virtual camera (libcamera 0.4.0 of Debian 13), for two reasons:
 *
 * 1. The virtual camera needs its frame buffers as DMA buffers: it creates a memfd and asks /dev/udmabuf for a DMA
 *    buffer over it. Containers and small virtual machines have no such device. No hardware reads these buffers, so
 *    the memfd itself will do: opening the device succeeds, the request for a DMA buffer returns a duplicate of the
 *    memfd's descriptor, and the cache synchronisation of DMA buffers does nothing.
 *
 * 2. The virtual camera never initialises the status of its frames, and picamera2 drops all frames whose status is
 *    not "success". That value is 0, so every C++ object is allocated as zeros.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/udmabuf.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

typedef int (*open_function)(const char *, int, ...);
typedef int (*ioctl_function)(int, unsigned long, ...);

static int open_or_substitute(const char *real_name, const char *path, int flags, mode_t mode)
{
	open_function real_open = (open_function)dlsym(RTLD_NEXT, real_name);

	if (path != NULL && strcmp(path, "/dev/udmabuf") == 0)
		return real_open("/dev/null", O_RDWR | O_CLOEXEC);
	return real_open(path, flags, mode);
}

/* The mode is an argument only if a file may be created. */
#define TAKE_MODE(mode, flags)                                          \
	do {                                                            \
		if ((flags) & O_CREAT || ((flags) & O_TMPFILE) == O_TMPFILE) { \
			va_list rest;                                   \
			va_start(rest, flags);                          \
			(mode) = va_arg(rest, mode_t);                  \
			va_end(rest);                                   \
		}                                                       \
	} while (0)

int open(const char *path, int flags, ...)
{
	mode_t mode = 0;

	TAKE_MODE(mode, flags);
	return open_or_substitute("open", path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
	mode_t mode = 0;

	TAKE_MODE(mode, flags);
	return open_or_substitute("open64", path, flags, mode);
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list rest;
	void *argument;

	va_start(rest, request);
	argument = va_arg(rest, void *);
	va_end(rest);

	if (request == UDMABUF_CREATE)
		return fcntl((int)((struct udmabuf_create *)argument)->memfd, F_DUPFD_CLOEXEC, 0);
	if (request == DMA_BUF_IOCTL_SYNC)
		return 0;
	return ((ioctl_function)dlsym(RTLD_NEXT, "ioctl"))(fd, request, argument);
}

/* C++'s operator new(std::size_t), by its mangled name. */
void *_Znwm(size_t size)
{
	void *memory = calloc(1, size ? size : 1);

	if (memory == NULL)
		abort();
	return memory;
}
