// SPDX-License-Identifier: MIT
#include "shm/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/endpoint.h"
#include "shm/process.h"
#include "shm/table.h"

#define FILE_NAME      "segment"
#define LAYOUT_VERSION 1
#define PAGE           4096

static const char magic[8] = "forebay\n";

struct shm_header {
	char magic[8];
	uint32_t version;
	uint32_t sizes; // a hash of the compiled-in sizes
	uint64_t identity;
	uint64_t size;
	struct shm_geometry geometry;
	char patterns[SHM_PATTERNS_SIZE];
};

_Static_assert(sizeof(struct shm_header) <= PAGE, "the header is one page");

// Another compiler's or version's idea of the structs is refused by this number.
static uint32_t hash_of_sizes(void)
{
	const uint32_t sizes[] = {sizeof(struct shm_header), sizeof(struct shm_process_mem),
	        sizeof(struct shm_channel_mem), sizeof(struct shm_endpoint_mem),
	        sizeof(struct shm_block_mem), SHM_PROCESSES, SHM_NARROW_ORDER, SHM_WIDE_ORDER};
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		hash = (hash ^ sizes[i]) * 16777619u;
	return hash;
}

// ---------------------------------------------------------------------------------------------
// Geometry
// ---------------------------------------------------------------------------------------------

static uint32_t bucket_count(const struct shm_geometry *geometry)
{
	uint32_t count = 64;

	while (count < geometry->narrow + geometry->wide)
		count *= 2;
	return count;
}

static uint32_t zone_count(const struct shm_geometry *geometry)
{
	uint32_t zones = 0;

	for (int class = 0; class < SHM_CLASSES; class ++)
		zones += geometry->blocks[class] / shm_class_zone(class);
	return zones;
}

static bool geometry_valid(const struct shm_geometry *geometry)
{
	if (geometry->narrow < 16 || geometry->wide < 4 ||
	        geometry->narrow > SHM_CHANNELS_MAX / 2 || geometry->wide > SHM_CHANNELS_MAX / 2)
		return false;
	if (geometry->endpoints < SHM_ENDPOINT_ZONE || geometry->endpoints > SHM_ENDPOINTS_MAX ||
	        geometry->endpoints % SHM_ENDPOINT_ZONE)
		return false;
	for (int class = 0; class < SHM_CLASSES; class ++)
		if (geometry->blocks[class] < shm_class_zone(class) ||
		        geometry->blocks[class] > 1u << 28 ||
		        geometry->blocks[class] % shm_class_zone(class))
			return false;
	return geometry->expiry >= 1;
}

// Reserves SIZE octets at *OFFSET, from a page boundary on.
static uint64_t reserve(uint64_t *offset, uint64_t size)
{
	uint64_t start = *offset;

	*offset = (start + size + PAGE - 1) / PAGE * PAGE;
	return start;
}

// The one place that knows the order of the regions. With SEGMENT's base set, fills in the pointers.
static uint64_t lay_out(struct shm_segment *segment, const struct shm_geometry *geometry)
{
	uint64_t offset = PAGE;
	char *base = segment->base;
	uint64_t slots = ((uint64_t)geometry->wide << SHM_WIDE_ORDER) +
	                 ((uint64_t)geometry->narrow << SHM_NARROW_ORDER);

	segment->header = segment->base;
	segment->channels = geometry->narrow + geometry->wide;
	segment->bucket_mask = bucket_count(geometry) - 1;
#define REGION(FIELD, COUNT)                                                                       \
	do {                                                                                       \
		uint64_t at_ = reserve(&offset, (uint64_t)(COUNT) * sizeof *segment->FIELD);       \
		segment->FIELD = base ? (void *)(base + at_) : NULL;                               \
	} while (0)
	REGION(processes, SHM_PROCESSES);
	REGION(zones, zone_count(geometry));
	REGION(buckets, bucket_count(geometry));
	REGION(channel, segment->channels);
	REGION(slots, slots);
	REGION(endpoint_zones, geometry->endpoints / SHM_ENDPOINT_ZONE);
	REGION(endpoint, geometry->endpoints);
#undef REGION
	for (int class = 0; class < SHM_CLASSES; class ++) {
		uint64_t at =
		        reserve(&offset, (uint64_t)geometry->blocks[class] * shm_class_size(class));

		segment->blocks[class] = base ? base + at : NULL;
	}
	return offset;
}

uint64_t shm_geometry_size(const struct shm_geometry *geometry)
{
	struct shm_segment nowhere = {0};

	return geometry_valid(geometry) ? lay_out(&nowhere, geometry) : 0;
}

int shm_geometry_choose(
        struct shm_geometry *geometry, uint64_t size, uint32_t channels, uint32_t endpoints)
{
	// Shares of the memory for messages, in sixteenths: small ones are the most frequent, large
	// ones need the most room.
	static const uint32_t share[SHM_CLASSES] = {3, 4, 9};
	uint64_t fixed;

	if (channels > SHM_CHANNELS_MAX / 2 || endpoints > SHM_ENDPOINTS_MAX)
		return -EINVAL;
	*geometry = (struct shm_geometry){
	        .narrow = channels < 16 ? 16 : channels,
	        .wide = channels / 32 < 8     ? 8
	                : channels / 32 > 256 ? 256
	                                      : channels / 32,
	        .endpoints = (endpoints / SHM_ENDPOINT_ZONE + 1) * SHM_ENDPOINT_ZONE,
	        .expiry = 1,
	};
	if (endpoints % SHM_ENDPOINT_ZONE == 0 && endpoints > 0)
		geometry->endpoints = endpoints;
	for (int class = 0; class < SHM_CLASSES; class ++)
		geometry->blocks[class] = shm_class_zone(class);
	fixed = shm_geometry_size(geometry);
	if (fixed == 0 || fixed > size)
		return -EINVAL;
	for (int class = 0; class < SHM_CLASSES; class ++) {
		uint64_t zone = (uint64_t)shm_class_size(class) * shm_class_zone(class);
		uint64_t zones = (size - fixed) / 16 * share[class] / zone;

		if ((zones + 1) * shm_class_zone(class) > 1u << 28)
			return -EINVAL;
		geometry->blocks[class] += (uint32_t)zones * shm_class_zone(class);
	}
	return 0;
}

// ---------------------------------------------------------------------------------------------
// Files
// ---------------------------------------------------------------------------------------------

struct complaint {
	char *text;
	size_t size;
};

__attribute__((format(printf, 3, 4))) static int complain(
        const struct complaint *complaint, int result, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(complaint->text, complaint->size, format, arguments);
	va_end(arguments);
	return result;
}

// Makes the directory if it isn't there, and opens it. Nobody else may be able to replace it.
static int open_directory(
        const char *path, bool make, int64_t gid, const struct complaint *complaint)
{
	struct stat stat;
	int directory;

	if (make && mkdir(path, 0700) == 0 && gid != -1) {
		if (chown(path, (uid_t)-1, (gid_t)gid) < 0 || chmod(path, 0770) < 0)
			return complain(complaint, -errno, "%s: cannot give it to the group: %s",
			        path, strerror(errno));
	}
	directory = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (directory < 0) {
		int error = errno;

		if (error == ENOENT && !make)
			return complain(complaint, -ENOENT,
			        "%s: no such layer; start `forebay serve`, or check the name and "
			        "FOREBAY_DIR",
			        path);
		if (error == ELOOP || error == ENOTDIR)
			return complain(complaint, -EPROTO,
			        "%s: not a directory but something else under its name; remove it",
			        path);
		return complain(complaint, -error, "%s: cannot open the layer's directory: %s",
		        path, strerror(error));
	}
	if (fstat(directory, &stat) < 0 || (stat.st_mode & 0007) != 0 ||
	        (stat.st_uid != geteuid() && geteuid() != 0 && (stat.st_mode & 0070) != 0070)) {
		close(directory);
		return complain(complaint, -EACCES,
		        "%s: owned by user %u with mode %03o, which this process does not trust; "
		        "it "
		        "must be its own with mode 0700, or a group's with 0770",
		        path, (unsigned)stat.st_uid, (unsigned)stat.st_mode & 0777);
	}
	return directory;
}

static void write_header(struct shm_segment *segment, const struct shm_geometry *geometry,
        const char *patterns, uint64_t size)
{
	struct shm_header *header = segment->base;

	memcpy(header->magic, magic, sizeof magic);
	header->version = LAYOUT_VERSION;
	header->sizes = hash_of_sizes();
	if (getrandom(&header->identity, sizeof header->identity, GRND_NONBLOCK) !=
	        sizeof header->identity)
		header->identity = (uint64_t)getpid() << 32 ^ size;
	header->size = size;
	header->geometry = *geometry;
	snprintf(header->patterns, sizeof header->patterns, "%s", patterns);
}

// Endpoints start at a generation that differs from segment to segment, so that a reply channel's
// name from an earlier segment of the same layer is refused as gone, not mistaken for a new one.
static void write_endpoints(struct shm_segment *segment)
{
	struct shm_header *header = segment->base;
	uint64_t generation = (header->identity & 0xffffff) << 1;

	lay_out(segment, &header->geometry);
	for (uint32_t i = 0; i < header->geometry.endpoints; i++)
		store_relaxed(&segment->endpoint[i].state, generation << 24);
	for (uint32_t i = 0; i < segment->channels; i++) {
		int order = i < header->geometry.wide ? SHM_WIDE_ORDER : SHM_NARROW_ORDER;

		store_relaxed(&segment->channel[i].ring.head, 1ull << order);
		store_relaxed(&segment->channel[i].ring.tail, 1ull << order);
	}
}

// Makes the segment as a nameless file and gives it its name when it is complete. If somebody else
// was faster, theirs is used.
static int make_file(struct shm_segment *segment, const char *path,
        const struct shm_geometry *geometry, const char *patterns, int64_t gid,
        const struct complaint *complaint)
{
	uint64_t size = shm_geometry_size(geometry);
	char self[64];
	int file, error;

	if (size == 0)
		return complain(complaint, -EINVAL,
		        "%s: a count of the layer's layout is out of range", path);
	file = openat(segment->directory, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (file < 0)
		return complain(complaint, -errno,
		        "%s: cannot make a segment there: %s; set FOREBAY_DIR to a directory on a "
		        "tmpfs",
		        path, strerror(errno));
	if (gid != -1 && (fchown(file, (uid_t)-1, (gid_t)gid) < 0 || fchmod(file, 0660) < 0)) {
		error = errno;
		close(file);
		return complain(complaint, -error, "%s: cannot give the segment to the group: %s",
		        path, strerror(error));
	}
	// Allocated whole: a full file system must be an error here, not a SIGBUS later.
	error = posix_fallocate(file, 0, (off_t)size);
	if (error) {
		close(file);
		return complain(complaint, -error,
		        "%s: cannot reserve %llu MiB of shared memory: %s; make the file system "
		        "larger "
		        "or the layer smaller (--layer-size)",
		        path, (unsigned long long)size >> 20, strerror(error));
	}
	segment->base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (segment->base == MAP_FAILED) {
		error = errno;
		segment->base = NULL;
		close(file);
		return complain(
		        complaint, -error, "%s: cannot map the segment: %s", path, strerror(error));
	}
	write_header(segment, geometry, patterns, size);
	write_endpoints(segment);
	munmap(segment->base, size);
	segment->base = NULL;
	snprintf(self, sizeof self, "/proc/self/fd/%d", file);
	error = linkat(AT_FDCWD, self, segment->directory, FILE_NAME, AT_SYMLINK_FOLLOW) < 0 ? errno
	                                                                                     : 0;
	close(file);
	if (error && error != EEXIST)
		return complain(complaint, -error, "%s: cannot name the segment: %s", path,
		        strerror(error));
	return 0;
}

static int check_header(struct shm_segment *segment, const struct shm_header *header,
        const char *path, const struct complaint *complaint)
{
	if (memcmp(header->magic, magic, sizeof magic) != 0)
		return complain(complaint, -EPROTO,
		        "%s/" FILE_NAME
		        ": not a forebay segment; remove it if nothing else needs it",
		        path);
	if (header->version != LAYOUT_VERSION || header->sizes != hash_of_sizes())
		return complain(complaint, -EPROTO,
		        "%s/" FILE_NAME
		        ": made by another version of forebay (layout %u.%08x, this is "
		        "%u.%08x); stop what uses it and remove it",
		        path, header->version, header->sizes, LAYOUT_VERSION, hash_of_sizes());
	segment->geometry = header->geometry;
	if (shm_geometry_size(&segment->geometry) != header->size || header->size != segment->size)
		return complain(complaint, -EPROTO,
		        "%s/" FILE_NAME
		        ": truncated or damaged (%zu octets); stop what uses it and "
		        "remove it",
		        path, segment->size);
	segment->identity = header->identity;
	memcpy(segment->patterns, header->patterns, sizeof segment->patterns);
	segment->patterns[sizeof segment->patterns - 1] = '\0';
	return 0;
}

// Opens, checks and maps the file. -ENOENT without a complaint if there is none.
static int map_file(
        struct shm_segment *segment, const char *path, const struct complaint *complaint)
{
	struct shm_header header;
	struct stat stat;
	int result;

	segment->file = openat(segment->directory, FILE_NAME, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (segment->file < 0)
		return errno == ENOENT
		               ? -ENOENT
		               : complain(complaint, -errno, "%s/" FILE_NAME ": cannot open it: %s",
		                         path, strerror(errno));
	if (fstat(segment->file, &stat) < 0 || !S_ISREG(stat.st_mode) || stat.st_nlink != 1 ||
	        (stat.st_mode & 0007) != 0)
		return complain(complaint, -EPROTO,
		        "%s/" FILE_NAME ": not a private regular file; remove it", path);
	segment->size = (size_t)stat.st_size;
	if (pread(segment->file, &header, sizeof header, 0) != sizeof header)
		return complain(complaint, -EPROTO,
		        "%s/" FILE_NAME ": truncated (%zu octets); stop what uses it and remove it",
		        path, segment->size);
	result = check_header(segment, &header, path, complaint);
	if (result < 0)
		return result;
	segment->base =
	        mmap(NULL, segment->size, PROT_READ | PROT_WRITE, MAP_SHARED, segment->file, 0);
	if (segment->base == MAP_FAILED) {
		segment->base = NULL;
		return complain(complaint, -errno, "%s/" FILE_NAME ": cannot map it: %s", path,
		        strerror(errno));
	}
	// Later first touches would cost a page fault each; where the kernel can't, they do.
	(void)madvise(segment->base, segment->size, MADV_POPULATE_WRITE);
	(void)madvise(segment->base, segment->size, MADV_DONTDUMP);
	lay_out(segment, &segment->geometry);
	return 0;
}

int shm_segment_open(struct shm_segment *segment, const char *path,
        const struct shm_geometry *geometry, const char *patterns, int64_t gid, char *error,
        size_t size)
{
	struct complaint complaint = {error, size};
	int result;

	*segment = (struct shm_segment){.directory = -1, .file = -1};
	segment->directory = open_directory(path, geometry != NULL, gid, &complaint);
	if (segment->directory < 0)
		return segment->directory;
	result = map_file(segment, path, &complaint);
	if (result == -ENOENT && geometry) {
		result = make_file(segment, path, geometry, patterns, gid, &complaint);
		if (result == 0)
			result = map_file(segment, path, &complaint);
	}
	if (result == -ENOENT)
		complain(&complaint, result, "%s: no such layer; start `forebay serve`", path);
	if (result < 0)
		shm_segment_fini(segment);
	return result;
}

void shm_segment_fini(struct shm_segment *segment)
{
	if (!segment->base && segment->file <= 0 && segment->directory <= 0)
		return;
	if (segment->base)
		munmap(segment->base, segment->size);
	if (segment->file >= 0)
		close(segment->file);
	if (segment->directory >= 0)
		close(segment->directory);
	*segment = (struct shm_segment){.directory = -1, .file = -1};
}

int shm_segment_remove(const char *path)
{
	int directory = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	char name[32];
	int error = 0;

	if (directory < 0)
		return -errno;
	if (unlinkat(directory, FILE_NAME, 0) < 0 && errno != ENOENT)
		error = errno;
	for (unsigned slot = 0; slot < SHM_PROCESSES; slot++) {
		snprintf(name, sizeof name, "bell.%u", slot);
		unlinkat(directory, name, 0);
	}
	close(directory);
	if (!error && rmdir(path) < 0)
		error = errno;
	return -error;
}
