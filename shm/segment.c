// SPDX-License-Identifier: MIT
#include "shm/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "shm/cell.h"
#include "shm/clock.h"
#include "shm/complaint.h"
#include "shm/descriptor.h"
#include "shm/directory.h"
#include "shm/endpoint.h"
#include "shm/link.h"
#include "shm/metric.h"
#include "shm/prefix.h"
#include "shm/process.h"
#include "shm/table.h"

#define LAYOUT_VERSION 13
#define PAGE           4096
#define PIECE          (1u << 20) // octets that are allocated at a time
#define OPEN_TRIES     16         // of one attach, because others removed the segment under it

static const char magic[8] = "forebay\n";

struct shm_header {
	char magic[8];
	uint32_t version;
	uint32_t sizes; // a hash of the compiled-in sizes
	uint64_t identity;
	int64_t made_at;
	uint64_t size;
	struct shm_geometry geometry;
	char patterns[SHM_PATTERNS_SIZE];
	char drops[SHM_DROPS_SIZE];
	_Alignas(SHM_LINE_PAIR) struct shm_housekeeping_mem housekeeping;
};

_Static_assert(sizeof(struct shm_header) <= PAGE, "the header is one page");

// Another compiler's or version's idea of the structs and of the sizes that decide the offsets is
// refused by this number.
static uint32_t hash_of_sizes(void)
{
	const uint32_t sizes[] = {sizeof(struct shm_header), sizeof(struct shm_process_mem),
	        sizeof(struct shm_channel_mem), sizeof(struct shm_endpoint_mem),
	        sizeof(struct shm_block_mem), SHM_PROCESSES, SHM_COUNTERS, SHM_NARROW_ORDER,
	        SHM_WIDE_ORDER, SHM_RING_LINE_ORDER, SHM_ENDPOINT_ZONE, SHM_PARTS_MAX,
	        SHM_NAME_SIZE, sizeof(struct shm_cell_mem), sizeof(struct shm_prefix_mem),
	        SHM_PREFIXES, sizeof(struct shm_metric_mem)};
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		hash = (hash ^ sizes[i]) * 16777619u;
	for (int class = 0; class < SHM_CLASSES; class ++) {
		hash = (hash ^ shm_class_size(class)) * 16777619u;
		hash = (hash ^ shm_class_zone(class)) * 16777619u;
	}
	return hash;
}

// ---------------------------------------------------------------------------------------------
// Geometry
// ---------------------------------------------------------------------------------------------

static uint32_t bucket_count(const struct shm_geometry *geometry)
{
	uint32_t count = 64;

	while (count < geometry->narrow + geometry->wide + geometry->groups)
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
	if (geometry->groups < 4 || geometry->groups > SHM_GROUPS_MAX ||
	        geometry->cells < 4 * SHM_CELLS_RESERVED || geometry->cells > SHM_CELLS_MAX)
		return false;
	if (geometry->metrics < 16 || geometry->metrics > SHM_METRICS_MAX || geometry->metrics % 16)
		return false;
	for (int class = 0; class < SHM_CLASSES; class ++)
		if (geometry->blocks[class] < shm_class_zone(class) ||
		        geometry->blocks[class] > 1u << 28 ||
		        geometry->blocks[class] % shm_class_zone(class))
			return false;
	return geometry->expiry >= 1 && geometry->group_expiry >= 1;
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
	segment->housekeeping = base ? &segment->header->housekeeping : NULL;
	segment->channels = geometry->narrow + geometry->wide;
	segment->entries = segment->channels + geometry->groups;
	segment->bucket_mask = bucket_count(geometry) - 1;
#define REGION(FIELD, COUNT)                                                                       \
	do {                                                                                       \
		uint64_t at_ = reserve(&offset, (uint64_t)(COUNT) * sizeof *segment->FIELD);       \
		segment->FIELD = base ? (void *)(base + at_) : NULL;                               \
	} while (0)
	REGION(processes, SHM_PROCESSES);
	REGION(zones, zone_count(geometry));
	REGION(buckets, bucket_count(geometry));
	REGION(channel, segment->entries);
	REGION(slots, slots);
	REGION(endpoint_zones, geometry->endpoints / SHM_ENDPOINT_ZONE);
	REGION(endpoint, geometry->endpoints);
	REGION(wills, geometry->endpoints);
	REGION(prefixes, SHM_PREFIXES);
	REGION(metrics, geometry->metrics);
	REGION(metric_cells, geometry->metrics);
	REGION(metric_words, (uint64_t)geometry->metrics * SHM_PROCESSES);
	REGION(cell_owns, geometry->cells);
	REGION(cells, geometry->cells);
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

static uint32_t clamp(uint64_t number, uint32_t least, uint32_t most)
{
	return number < least ? least : number > most ? most : (uint32_t)number;
}

// How many groups and cells suit a segment of SIZE octets. A member takes 8 to 64 octets, so all reply
// channels can be in one group, or in some smaller ones; in a small segment messages need the room more.
static void choose_groups(struct shm_geometry *geometry, uint64_t size, uint32_t groups)
{
	uint64_t share = size < 16u << 20 ? 32 : size < 32u << 20 ? 16 : 8;
	uint64_t cells = geometry->endpoints / 2 + groups;

	geometry->groups = groups ? groups : clamp(size / share >> 10, 64, 4096);
	if (!groups && cells > size / share / sizeof(struct shm_cell_mem))
		cells = size / share / sizeof(struct shm_cell_mem);
	geometry->cells = clamp(cells, 1024, SHM_CELLS_MAX);
}

// One series takes 2.3 KiB, most of it the processes' words: a 64th of the segment, within reason.
static uint32_t choose_metrics(uint64_t size)
{
	uint64_t each = sizeof(struct shm_metric_mem) + SHM_PROCESSES * sizeof(uint64_t);

	return clamp(size / 64 / each, 64, 1024) / 16 * 16;
}

int shm_geometry_choose(struct shm_geometry *geometry, uint64_t size, uint32_t channels,
        uint32_t endpoints, uint32_t groups)
{
	// Shares of the memory for messages, in sixteenths: small ones are the most frequent, large
	// ones need the most room.
	static const uint32_t share[SHM_CLASSES] = {3, 4, 9};
	uint64_t fixed;

	if (channels > SHM_CHANNELS_MAX / 2 || endpoints > SHM_ENDPOINTS_MAX ||
	        groups > SHM_GROUPS_MAX)
		return -EINVAL;
	*geometry = (struct shm_geometry){
	        .narrow = channels < 16 ? 16 : channels,
	        .wide = channels / 32 < 8     ? 8
	                : channels / 32 > 256 ? 256
	                                      : channels / 32,
	        .endpoints = (endpoints / SHM_ENDPOINT_ZONE + 1) * SHM_ENDPOINT_ZONE,
	        .expiry = 1,
	        .group_expiry = 1,
	        .metrics = choose_metrics(size),
	};
	if (endpoints % SHM_ENDPOINT_ZONE == 0 && endpoints > 0)
		geometry->endpoints = endpoints;
	choose_groups(geometry, size, groups);
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

static const char *drops_of(const struct shm_terms *terms)
{
	return terms->drops ? terms->drops : "";
}

static void write_header(struct shm_segment *segment, const struct shm_terms *terms, uint64_t size)
{
	struct shm_header *header = segment->base;

	memcpy(header->magic, magic, sizeof magic);
	header->version = LAYOUT_VERSION;
	header->sizes = hash_of_sizes();
	if (getrandom(&header->identity, sizeof header->identity, GRND_NONBLOCK) !=
	        sizeof header->identity)
		header->identity = (uint64_t)getpid() << 32 ^ size;
	header->made_at = shm_clock_now();
	header->size = size;
	header->geometry = *terms->geometry;
	snprintf(header->patterns, sizeof header->patterns, "%s", terms->patterns);
	snprintf(header->drops, sizeof header->drops, "%s", drops_of(terms));
	shm_pace_begin(&header->housekeeping.sent, 0, header->made_at);
	shm_pace_begin(&header->housekeeping.full, 0, header->made_at);
}

// Endpoints start at a generation that differs from segment to segment, so that a reply channel's
// name from an earlier segment of the same layer is refused as gone, not mistaken for a new one.
static void write_table(struct shm_segment *segment)
{
	struct shm_header *header = segment->base;
	uint64_t generation = SHM_ENDPOINT_FIRST(header->identity);

	lay_out(segment, &header->geometry);
	for (uint32_t i = 0; i < header->geometry.endpoints; i++)
		store_relaxed(&segment->endpoint[i].state, generation << 24);
	// As if it had been in a list, and taken out.
	for (uint32_t i = 0; i < segment->entries; i++)
		store_relaxed(&segment->channel[i].link, LINK_MARK);
	for (uint32_t i = 0; i < segment->channels; i++) {
		int order = i < header->geometry.wide ? SHM_WIDE_ORDER : SHM_NARROW_ORDER;

		store_relaxed(&segment->channel[i].ring.head, 1ull << order);
		store_relaxed(&segment->channel[i].ring.tail, 1ull << order);
		store_relaxed(&segment->channel[i].base, 1ull << order);
	}
}

// Allocates SIZE octets of FILE. A signal may interrupt that, and then nothing of the piece is allocated: so in small
// pieces, or with a timer running there would never be an end to a large one. 0 or a positive errno.
static int allocate(int file, uint64_t size)
{
	uint64_t done = 0;

	while (done < size) {
		uint64_t piece = size - done < PIECE ? size - done : PIECE;
		int error = posix_fallocate(file, (off_t)done, (off_t)piece);

		if (error == 0)
			done += piece;
		else if (error != EINTR)
			return error;
	}
	return 0;
}

// Fills a file of SIZE octets in. Allocated whole: a full file system must be an error here, not a SIGBUS
// later.
static int fill_file(struct shm_segment *segment, int file, const char *path,
        const struct shm_terms *terms, uint64_t size, const struct shm_complaint *complaint)
{
	int error = allocate(file, size);

	if (error)
		return shm_complain(complaint, -error,
		        "%s: cannot reserve %llu MiB of shared memory: %s; make the file system "
		        "larger or the layer smaller (--layer-size)",
		        path, (unsigned long long)size >> 20, strerror(error));
	segment->base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (segment->base == MAP_FAILED) {
		segment->base = NULL;
		return shm_complain(complaint, -errno,
		        "%s: cannot map the segment: %s; make the layer smaller (--layer-size)",
		        path, strerror(errno));
	}
	write_header(segment, terms, size);
	write_table(segment);
	munmap(segment->base, size);
	segment->base = NULL;
	return 0;
}

// If somebody else was faster, theirs is used.
static int name_file(struct shm_segment *segment, int file, const char *path,
        const struct shm_complaint *complaint)
{
	char self[64];

	snprintf(self, sizeof self, "/proc/self/fd/%d", file);
	if (linkat(AT_FDCWD, self, segment->directory, SHM_SEGMENT_NAME, AT_SYMLINK_FOLLOW) < 0) {
		if (errno != EEXIST)
			return shm_complain(complaint, -errno,
			        "%s: cannot name the segment: %s; is /proc mounted?", path,
			        strerror(errno));
	} else if (segment->origin == SHM_FOUND) {
		segment->origin = SHM_MADE;
	}
	return 0;
}

// Makes the segment as a nameless file and gives it its name when it is complete.
static int make_file(struct shm_segment *segment, const char *path, const struct shm_terms *terms,
        const struct shm_complaint *complaint)
{
	uint64_t size = shm_geometry_size(terms->geometry);
	int file, result;

	if (size == 0)
		return shm_complain(complaint, -EINVAL,
		        "%s: a count of the layer's layout is out of range", path);
	file = openat(segment->directory, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (file < 0)
		return shm_complain(complaint, -errno,
		        "%s: cannot make a segment there: %s; set FOREBAY_DIR to a directory on a "
		        "tmpfs",
		        path, strerror(errno));
	result = shm_directory_give(segment->directory, terms->owner, terms->group);
	if (result == 0)
		result = shm_directory_adopt(segment->directory, file);
	if (result < 0)
		shm_complain(complaint, result,
		        "%s: cannot give it to the layer's user and group: %s; be a member of that "
		        "group, or root",
		        path, strerror(-result));
	if (result == 0)
		result = fill_file(segment, file, path, terms, size, complaint);
	if (result == 0)
		result = name_file(segment, file, path, complaint);
	close(file);
	return result;
}

static int check_header(struct shm_segment *segment, const struct shm_header *header,
        const char *path, const struct shm_complaint *complaint)
{
	if (memcmp(header->magic, magic, sizeof magic) != 0)
		return shm_complain(complaint, -EPROTO,
		        "%s/" SHM_SEGMENT_NAME ": not a forebay segment; if nothing else needs it, "
		        "`rm -r %s`",
		        path, path);
	if (header->version != LAYOUT_VERSION || header->sizes != hash_of_sizes())
		return shm_complain(complaint, -EPROTO,
		        "%s/" SHM_SEGMENT_NAME
		        ": made by another version of forebay (layout %u.%08x, this is "
		        "%u.%08x); stop what uses it, then `rm -r %s`",
		        path, header->version, header->sizes, LAYOUT_VERSION, hash_of_sizes(),
		        path);
	segment->geometry = header->geometry;
	if (shm_geometry_size(&segment->geometry) != header->size || header->size != segment->size)
		return shm_complain(complaint, -EPROTO,
		        "%s/" SHM_SEGMENT_NAME
		        ": truncated or damaged (%zu octets); stop what uses it, then `rm -r %s`",
		        path, segment->size, path);
	segment->identity = header->identity;
	segment->made_at = header->made_at;
	memcpy(segment->patterns, header->patterns, sizeof segment->patterns);
	segment->patterns[sizeof segment->patterns - 1] = '\0';
	memcpy(segment->drops, header->drops, sizeof segment->drops);
	segment->drops[sizeof segment->drops - 1] = '\0';
	return 0;
}

// Owner, mode and names of the file: whoever else could write it isn't trusted.
static int judge_file(const struct shm_segment *segment, const struct stat *stat, const char *path,
        const struct shm_complaint *complaint)
{
	struct stat directory;
	char text[128];

	if (fstat(segment->directory, &directory) < 0)
		return shm_complain(
		        complaint, -errno, "%s: cannot look at it: %s", path, strerror(errno));
	if (stat->st_nlink > 1)
		return shm_complain(complaint, -EPROTO,
		        "%s/" SHM_SEGMENT_NAME
		        ": the file has %u names, so it can be reached from outside the layer's "
		        "directory; stop what uses it, then `rm -r %s`",
		        path, (unsigned)stat->st_nlink, path);
	if (shm_directory_objection(&directory, stat, text, sizeof text))
		return shm_complain(complaint, -EACCES,
		        "%s/" SHM_SEGMENT_NAME ": %s, so others may have access; make them equal "
		        "(chown, chmod), or stop what uses it and `rm -r %s`",
		        path, text, path);
	return 0;
}

// Opens the file, and reads and checks its header. -ENOENT without a complaint if there is none.
static int open_file(struct shm_segment *segment, int mode, const char *path, struct stat *stat,
        const struct shm_complaint *complaint)
{
	struct shm_header header;
	ssize_t got;

	// Without O_NONBLOCK a FIFO of that name would hold us up.
	segment->file = shm_descriptor_lift(openat(
	        segment->directory, SHM_SEGMENT_NAME, mode | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
	if (segment->file < 0 && errno == ENOENT)
		return -ENOENT;
	if (segment->file < 0 && errno == EACCES)
		return shm_complain(complaint, -EACCES,
		        "%s/" SHM_SEGMENT_NAME
		        ": this process (user %u) may not open it; run as the "
		        "layer's user or group",
		        path, (unsigned)geteuid());
	if (segment->file < 0 && errno != ELOOP && errno != ENXIO && errno != EISDIR)
		return shm_complain(complaint, -errno,
		        "%s/" SHM_SEGMENT_NAME ": cannot open it: %s; set FOREBAY_DIR to a "
		        "directory on a tmpfs",
		        path, strerror(errno));
	if (segment->file < 0 || fstat(segment->file, stat) < 0 || !S_ISREG(stat->st_mode))
		return shm_complain(complaint, -EPROTO,
		        "%s/" SHM_SEGMENT_NAME
		        ": not a regular file but something else under its name; `rm -r %s`",
		        path, path);
	segment->size = (size_t)stat->st_size;
	got = pread(segment->file, &header, sizeof header, 0);
	if (got < 0)
		return shm_complain(complaint, -errno,
		        "%s/" SHM_SEGMENT_NAME ": cannot read it: %s; `rm -r %s`", path,
		        strerror(errno), path);
	if (got != sizeof header)
		return shm_complain(complaint, -EPROTO,
		        "%s/" SHM_SEGMENT_NAME
		        ": truncated (%zu octets); stop what uses it, then `rm -r %s`",
		        path, segment->size, path);
	return check_header(segment, &header, path, complaint);
}

// Parts of the file that aren't there any more are filled in by who touches them, also to read; where there is no room
// for them, that is a SIGBUS. Who only looks doesn't fill them in before. 0 or a positive errno.
static int fill_holes(const struct shm_segment *segment, int protection)
{
	struct stat stat;
	struct statvfs room;
	uint64_t there;

	if (fstat(segment->file, &stat) < 0 || fstatvfs(segment->file, &room) < 0)
		return errno;
	there = (uint64_t)stat.st_blocks * 512;
	if (there >= segment->size)
		return 0;
	// Not where the C library would emulate it: that writes into blocks that are there, and others are attached.
	if ((protection & PROT_WRITE) &&
	        (fallocate(segment->file, 0, 0, PAGE) == 0 || errno != EOPNOTSUPP))
		return allocate(segment->file, segment->size);
	if (room.f_blocks == 0) // a tmpfs without a limit
		return 0;
	return (uint64_t)room.f_bavail * room.f_frsize < segment->size - there ? ENOSPC : 0;
}

static int map_file(struct shm_segment *segment, int protection, const char *path,
        const struct shm_complaint *complaint)
{
	int error;

	segment->base = mmap(NULL, segment->size, protection, MAP_SHARED, segment->file, 0);
	if (segment->base == MAP_FAILED) {
		segment->base = NULL;
		return shm_complain(complaint, -errno,
		        "%s/" SHM_SEGMENT_NAME
		        ": cannot map it: %s; is there a limit of address space?",
		        path, strerror(errno));
	}
	error = fill_holes(segment, protection);
	if (error)
		return shm_complain(complaint, -error,
		        "%s/" SHM_SEGMENT_NAME
		        ": parts of it aren't there, and can't be filled in: %s; make room in the "
		        "file system, or stop what uses it, then `rm -r %s`",
		        path, strerror(error), path);
	(void)madvise(segment->base, segment->size, MADV_DONTDUMP);
	lay_out(segment, &segment->geometry);
	return 0;
}

static void close_file(struct shm_segment *segment)
{
	if (segment->base)
		munmap(segment->base, segment->size);
	if (segment->file >= 0)
		close(segment->file);
	segment->base = NULL;
	segment->file = -1;
}

// Attaches to the file that is there. -ENOENT without a complaint if there is none.
static int find_file(
        struct shm_segment *segment, const char *path, const struct shm_complaint *complaint)
{
	struct stat stat;
	int result = open_file(segment, O_RDWR, path, &stat, complaint);

	if (result == 0 && stat.st_nlink == 0)
		result = -ENOENT; // removed since we opened it
	if (result == 0)
		result = judge_file(segment, &stat, path, complaint);
	if (result == 0)
		result = map_file(segment, PROT_READ | PROT_WRITE, path, complaint);
	if (result == -ENOENT)
		close_file(segment);
	// Later first touches would cost a page fault each; where the kernel can't, they do.
	if (result == 0)
		(void)madvise(segment->base, segment->size, MADV_POPULATE_WRITE);
	return result;
}

// Takes the segment's name away if nobody alive is attached, and nobody can be from then on. Who has just
// opened it finds out when it joins (shm_process_join()).
static bool retire(struct shm_segment *segment)
{
	int lock = shm_process_lock_all(segment);

	if (lock < 0)
		return false;
	// All locks are ours, so nobody else is here: the name, if there is one, is this file's.
	if (!shm_segment_is_gone(segment))
		(void)unlinkat(segment->directory, SHM_SEGMENT_NAME, 0);
	close(lock);
	return true;
}

bool shm_segment_differs(const struct shm_segment *segment, const struct shm_terms *terms)
{
	struct stat stat;

	if (memcmp(&segment->geometry, terms->geometry, sizeof segment->geometry) != 0 ||
	        strcmp(segment->patterns, terms->patterns) != 0 ||
	        strcmp(segment->drops, drops_of(terms)) != 0 ||
	        fstat(segment->directory, &stat) < 0)
		return true;
	if (terms->group == -1)
		return (stat.st_mode & 0020) != 0;
	return (stat.st_mode & 0020) == 0 || stat.st_gid != (gid_t)terms->group;
}

bool shm_segment_is_gone(const struct shm_segment *segment)
{
	struct stat stat;

	return fstat(segment->file, &stat) == 0 && stat.st_nlink == 0;
}

static int find_or_make(struct shm_segment *segment, const char *path,
        const struct shm_terms *terms, const struct shm_complaint *complaint)
{
	int result = -ENOENT;

	for (int tries = 0; tries < OPEN_TRIES; tries++) {
		result = find_file(segment, path, complaint);
		if (result == -ENOENT && terms->geometry) {
			result = make_file(segment, path, terms, complaint);
			if (result == 0)
				continue;
		}
		if (result != 0 || !terms->replace || !shm_segment_differs(segment, terms) ||
		        segment->origin != SHM_FOUND || !retire(segment))
			return result;
		close_file(segment);
		segment->origin = SHM_REPLACED;
	}
	return shm_complain(
	        complaint, -EAGAIN, "%s: it is removed again and again; try later", path);
}

int shm_segment_open(struct shm_segment *segment, const char *path, const struct shm_terms *terms,
        char *error, size_t size)
{
	const struct shm_complaint complaint = {error, size};
	int result;

	*segment = (struct shm_segment){.directory = -1, .file = -1};
	result = shm_directory_open(path, terms->geometry != NULL, terms->owner, &complaint);
	if (result < 0)
		return result;
	segment->directory = result;
	result = shm_directory_hand_over(segment->directory, terms->owner);
	if (result < 0)
		shm_complain(&complaint, result,
		        "%s: cannot give it to user %lld: %s; only root can", path,
		        (long long)terms->owner, strerror(-result));
	else
		result = find_or_make(segment, path, terms, &complaint);
	if (result == -ENOENT && !terms->geometry)
		shm_complain(&complaint, result, "%s: no such layer; start `forebay serve`", path);
	if (result < 0)
		shm_segment_fini(segment);
	return result;
}

int shm_segment_inspect(struct shm_segment *segment, const char *path, char *error, size_t size)
{
	const struct shm_complaint complaint = {error, size};
	struct stat stat;
	int result;

	error[0] = '\0';
	*segment = (struct shm_segment){.directory = -1, .file = -1};
	segment->directory =
	        shm_descriptor_lift(open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
	if (segment->directory < 0) // which says why
		segment->directory = shm_directory_open(path, false, -1, &complaint);
	if (segment->directory < 0)
		return segment->directory;
	result = open_file(segment, O_RDONLY, path, &stat, &complaint);
	if (result == -ENOENT)
		shm_complain(&complaint, result, "%s: there is no segment in it", path);
	if (result == 0)
		result = map_file(segment, PROT_READ, path, &complaint);
	if (result < 0) {
		shm_segment_fini(segment);
		return result;
	}
	result = shm_directory_open(path, false, -1, &complaint);
	if (result >= 0) {
		close(result);
		(void)judge_file(segment, &stat, path, &complaint);
	}
	return 0;
}

void shm_segment_fini(struct shm_segment *segment)
{
	if (!segment->base && segment->file <= 0 && segment->directory <= 0)
		return;
	close_file(segment);
	if (segment->directory >= 0)
		close(segment->directory);
	*segment = (struct shm_segment){.directory = -1, .file = -1};
}

int shm_segment_remove(const char *path)
{
	int directory = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	char name[SHM_FILE_NAME_SIZE];
	int error = 0;

	if (directory < 0)
		return -errno;
	if (unlinkat(directory, SHM_SEGMENT_NAME, 0) < 0 && errno != ENOENT)
		error = errno;
	for (unsigned slot = 0; slot < SHM_PROCESSES; slot++) {
		for (int leftover = 0; leftover <= 1; leftover++) {
			shm_directory_fifo_name(slot, leftover, name);
			unlinkat(directory, name, 0);
		}
	}
	close(directory);
	if (!error && rmdir(path) < 0)
		error = errno;
	return -error;
}
