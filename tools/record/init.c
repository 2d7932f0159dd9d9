/*
 * The only process of a recorded guest, and its init.
 *
 * Nothing else may run there: whatever allocates memory disturbs what is recorded. So this program
 * never allocates, is locked into memory, and does only what the host asks for, one line at a time
 * on the console. docs/recording.md describes the protocol; guest.py speaks the other side.
 *
 *   host:   SEQUENCE COMMAND ARGUMENTS \n
 *   guest:  @D SEQUENCE LENGTH CRC32 \n BYTES \n     any number of times, then
 *           @E SEQUENCE ERRNO NANOSECONDS \n         how it ended, and what it took
 *
 * An empty line is no command, but ends a wait. Not as process 1 it mounts nothing, which is how
 * the tests run it.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { LINE_BYTES = 4096, FRAME_BYTES = 16384, FILE_BYTES = 1 << 18, FLAGS_AT_ONCE = 4096, WAIT_MILLISECONDS = 2,
       READ_AT_ONCE = 4000 };

static char line[LINE_BYTES], content[FILE_BYTES], frame[FRAME_BYTES];
static char entries[1 << 15] __attribute__((aligned(8)));
static size_t frame_used;
static char input[LINE_BYTES];
static size_t input_start, input_end;
static unsigned long sequence;
static int kmsg = -1;

/* ---- output ---- */

static void put(const char *bytes, size_t length)
{
	while (length > 0) {
		ssize_t done = write(STDOUT_FILENO, bytes, length);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			_exit(1);
		bytes += done;
		length -= (size_t)done;
	}
}

static uint32_t crc32_of(const char *bytes, size_t length)
{
	uint32_t crc = 0xffffffffu;

	while (length-- > 0) {
		crc ^= (unsigned char)*bytes++;
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
	}
	return ~crc;
}

static void flush_frame(void)
{
	char head[80];
	int length;

	if (frame_used == 0)
		return;
	length = snprintf(head, sizeof(head), "@D %lu %zu %08" PRIx32 "\n", sequence, frame_used,
			  crc32_of(frame, frame_used));
	put(head, (size_t)length);
	put(frame, frame_used);
	put("\n", 1);
	frame_used = 0;
}

static void emit(const char *bytes, size_t length)
{
	while (length > 0) {
		size_t room = FRAME_BYTES - frame_used;
		size_t part = length < room ? length : room;

		memcpy(frame + frame_used, bytes, part);
		frame_used += part;
		bytes += part;
		length -= part;
		if (frame_used == FRAME_BYTES)
			flush_frame();
	}
}

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
	char text[1024];
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (length > 0)
		emit(text, (size_t)length < sizeof(text) ? (size_t)length : sizeof(text) - 1);
}

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void end_answer(int error, uint64_t nanoseconds)
{
	char tail[80];
	int length;

	flush_frame();
	length = snprintf(tail, sizeof(tail), "@E %lu %d %" PRIu64 "\n", sequence, error, nanoseconds);
	put(tail, (size_t)length);
}

/* ---- input ---- */

static void shut_down(void)
{
	if (getpid() != 1)
		_exit(0);
	sync();
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}

static bool input_is_waiting(int milliseconds)
{
	struct pollfd console = { .fd = STDIN_FILENO, .events = POLLIN };

	return input_start < input_end || poll(&console, 1, milliseconds) > 0;
}

static int next_byte(void)
{
	if (input_start == input_end) {
		ssize_t got = read(STDIN_FILENO, input, sizeof(input));

		if (got <= 0)
			shut_down();
		input_start = 0;
		input_end = (size_t)got;
	}
	return input[input_start++];
}

/* Returns whether the whole line fitted. */
static bool read_line(void)
{
	size_t used = 0;
	bool fits = true;

	for (;;) {
		int byte = next_byte();

		if (byte == '\n')
			break;
		if (used < sizeof(line) - 1)
			line[used++] = (char)byte;
		else
			fits = false;
	}
	line[used] = '\0';
	return fits;
}

static char *word(char **rest)
{
	char *start;

	while (**rest == ' ')
		++*rest;
	start = *rest;
	while (**rest != '\0' && **rest != ' ')
		++*rest;
	if (**rest == ' ')
		*(*rest)++ = '\0';
	return start;
}

static bool number(char **rest, uint64_t *value)
{
	char *text = word(rest), *end;

	errno = 0;
	*value = strtoull(text, &end, 10);
	return isdigit((unsigned char)*text) && *end == '\0' && errno == 0;
}

/* ---- commands; each returns an errno ---- */

/*
 * read DIRECTORY NAME...: for each "F NAME ERRNO LENGTH\n", the bytes, "\n". In small pieces: for a
 * file of /proc/sys the kernel allocates as much as is asked for.
 */
static int read_files(char *rest)
{
	char *name, *directory = word(&rest);
	int where = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (where < 0)
		return errno;
	while (*(name = word(&rest)) != '\0') {
		size_t used = 0;
		int error = 0, file = openat(where, name, O_RDONLY | O_CLOEXEC);

		if (file < 0)
			error = errno;
		while (file >= 0) {
			size_t room = sizeof(content) - used;
			ssize_t got = read(file, content + used, room < READ_AT_ONCE ? room : READ_AT_ONCE);

			if (got < 0)
				error = errno;
			if (got > 0)
				used += (size_t)got;
			if (got <= 0)
				break;
			if (used == sizeof(content)) {
				error = EFBIG;
				break;
			}
		}
		if (file >= 0)
			close(file);
		say("F %s %d %zu\n", name, error, error ? 0 : used);
		emit(content, error ? 0 : used);
		emit("\n", 1);
	}
	close(where);
	return 0;
}

/* list DIRECTORY: the names in it, one a line, in the directory's order. */
static int list_directory(char *rest)
{
	int where = open(word(&rest), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	long got;

	if (where < 0)
		return errno;
	while ((got = syscall(SYS_getdents64, where, entries, sizeof(entries))) > 0) {
		for (long at = 0; at < got;) {
			struct dirent64 *entry = (struct dirent64 *)(entries + at);

			if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
				say("%s\n", entry->d_name);
			at += entry->d_reclen;
		}
	}
	close(where);
	return got < 0 ? EIO : 0;
}

/* write FILE VALUE: one write() of the rest of the line. */
static int write_file(char *rest)
{
	char *path = word(&rest);
	int error = 0, file = open(path, O_WRONLY | O_CLOEXEC);

	if (file < 0)
		return errno;
	if (write(file, rest, strlen(rest)) < 0)
		error = errno;
	close(file);
	return error;
}

/*
 * try MILLISECONDS FILE VALUE: the same, but a signal ends it after that time: offlining a block whose pages
 * cannot move goes on until one comes, and says EINTR then.
 */
static int try_to_write(char *rest)
{
	struct itimerval timer = { 0 };
	uint64_t limit;
	int error;

	if (!number(&rest, &limit) || limit == 0)
		return EINVAL;
	timer.it_value.tv_sec = (time_t)(limit / 1000);
	timer.it_value.tv_usec = (suseconds_t)(limit % 1000 * 1000);
	timer.it_interval.tv_sec = 1; /* the signal may come just before the write does */
	setitimer(ITIMER_REAL, &timer, NULL);
	error = write_file(rest);
	memset(&timer, 0, sizeof(timer));
	setitimer(ITIMER_REAL, &timer, NULL);
	return error;
}

static void wake_up(int number)
{
	(void)number;
}

/* hog BYTES: maps, touches and locks so much anonymous memory, for good. */
static int hog(char *rest)
{
	uint64_t size;
	long page = sysconf(_SC_PAGESIZE);
	volatile char *memory;

	if (!number(&rest, &size) || size == 0)
		return EINVAL;
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return errno;
	for (uint64_t at = 0; at < size; at += (uint64_t)page)
		memory[at] = 1;
	return mlock((const void *)memory, size) < 0 ? errno : 0;
}

/*
 * flags FILE START END: runs of equal 64-bit words, "START END HEX" a line; END is lowered to where
 * the file ends, so the host sees what lies beyond it.
 */
static int read_flags(char *rest)
{
	static uint64_t words[FLAGS_AT_ONCE];
	uint64_t start, end, run_start, run_value = 0;
	int file = open(word(&rest), O_RDONLY | O_CLOEXEC);

	if (file < 0)
		return errno;
	if (!number(&rest, &start) || !number(&rest, &end) || start > end) {
		close(file);
		return EINVAL;
	}
	run_start = start;
	while (start < end) {
		uint64_t wanted = end - start < FLAGS_AT_ONCE ? end - start : FLAGS_AT_ONCE;
		ssize_t got = pread(file, words, wanted * sizeof(*words), (off_t)(start * sizeof(*words)));

		if (got < (ssize_t)sizeof(*words))
			break;
		for (size_t i = 0; i < (size_t)got / sizeof(*words); i++, start++) {
			if (start > run_start && words[i] != run_value) {
				say("%" PRIu64 " %" PRIu64 " %" PRIx64 "\n", run_start, start, run_value);
				run_start = start;
			}
			run_value = words[i];
		}
	}
	close(file);
	if (start > run_start)
		say("%" PRIu64 " %" PRIu64 " %" PRIx64 "\n", run_start, start, run_value);
	return 0;
}

/*
 * Counts names PREFIX<id> in an open directory. Reading a directory of sysfs allocates nothing;
 * looking each name up would fill memory with dentries, which a guest that is short of memory during
 * an add does not survive.
 */
static unsigned int count_present(int where, const char *prefix, uint64_t first, uint64_t last)
{
	size_t length = strlen(prefix);
	unsigned int present = 0;
	long got;

	lseek(where, 0, SEEK_SET);
	while ((got = syscall(SYS_getdents64, where, entries, sizeof(entries))) > 0) {
		for (long at = 0; at < got; at += ((struct dirent64 *)(entries + at))->d_reclen) {
			const char *name = ((struct dirent64 *)(entries + at))->d_name;
			uint64_t id;
			char *end;

			if (strncmp(name, prefix, length) != 0 || !isdigit((unsigned char)name[length]))
				continue;
			id = strtoull(name + length, &end, 10);
			present += *end == '\0' && id >= first && id <= last;
		}
	}
	return present;
}

/*
 * wait present|absent DIRECTORY PREFIX FIRST LAST MILLISECONDS: until all or none of PREFIX<id> exist; says
 * how many do, and the time. ETIMEDOUT, or EINTR if the host sent something meanwhile.
 */
static int wait_for(char *rest)
{
	const char *what = word(&rest), *directory = word(&rest), *prefix = word(&rest);
	uint64_t first, last, limit, begin = now();
	unsigned int present, wanted;
	int error = 0, where;

	if (!number(&rest, &first) || !number(&rest, &last) || !number(&rest, &limit) || first > last)
		return EINVAL;
	where = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (where < 0)
		return errno;
	wanted = strcmp(what, "present") == 0 ? (unsigned int)(last - first + 1) : 0;
	while ((present = count_present(where, prefix, first, last)) != wanted) {
		if (now() - begin > limit * 1000000u) {
			error = ETIMEDOUT;
			break;
		}
		if (input_is_waiting(WAIT_MILLISECONDS)) {
			error = EINTR;
			break;
		}
	}
	close(where);
	say("%u %" PRIu64 "\n", present, now());
	return error;
}

/* clock: nanoseconds since boot. */
static int tell_time(void)
{
	say("%" PRIu64 "\n", now());
	return 0;
}

/* log: the kernel's records since the last time, as /dev/kmsg has them. */
static int read_log(void)
{
	if (kmsg < 0)
		kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (kmsg < 0)
		return errno;
	for (;;) {
		ssize_t got = read(kmsg, content, sizeof(content));

		if (got < 0 && errno == EPIPE) /* overwritten meanwhile: the next one is still there */
			continue;
		if (got <= 0)
			return 0;
		emit(content, (size_t)got);
		emit("\n", 1);
	}
}

static int tell_facts(void)
{
	struct utsname name;

	if (uname(&name) < 0)
		return errno;
	say("release %s\nversion %s\nmachine %s\npage_size %ld\ncpus %ld\n", name.release, name.version, name.machine,
	    sysconf(_SC_PAGESIZE), sysconf(_SC_NPROCESSORS_ONLN));
	return 0;
}

static int run_command(char *rest)
{
	const char *command = word(&rest);

	if (strcmp(command, "read") == 0)
		return read_files(rest);
	if (strcmp(command, "list") == 0)
		return list_directory(rest);
	if (strcmp(command, "write") == 0)
		return write_file(rest);
	if (strcmp(command, "try") == 0)
		return try_to_write(rest);
	if (strcmp(command, "hog") == 0)
		return hog(rest);
	if (strcmp(command, "flags") == 0)
		return read_flags(rest);
	if (strcmp(command, "wait") == 0)
		return wait_for(rest);
	if (strcmp(command, "clock") == 0)
		return tell_time();
	if (strcmp(command, "log") == 0)
		return read_log();
	if (strcmp(command, "facts") == 0)
		return tell_facts();
	return ENOSYS;
}

/* ---- start ---- */

/* Loads /modules/00.ko, 01.ko, … as far as there are any; the console tells of one that the kernel refuses. */
static void load_modules(void)
{
	char path[32];

	for (int module = 0;; module++) {
		int file;

		snprintf(path, sizeof(path), "/modules/%02d.ko", module);
		file = open(path, O_RDONLY | O_CLOEXEC);
		if (file < 0)
			return;
		if (syscall(SYS_finit_module, file, "", 0) < 0)
			printf("module %s: %s\n", path, strerror(errno));
		fflush(stdout);
		close(file);
	}
}

static void set_up_guest(void)
{
	struct termios console;

	mount("proc", "/proc", "proc", 0, NULL);
	mount("sysfs", "/sys", "sysfs", 0, NULL);
	mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL);
	if (tcgetattr(STDIN_FILENO, &console) == 0) {
		cfmakeraw(&console);
		tcsetattr(STDIN_FILENO, TCSANOW, &console);
	}
	load_modules();
	klogctl(8, NULL, 1); /* only emergencies are printed between the frames */
	mlockall(MCL_CURRENT | MCL_FUTURE);
}

int main(void)
{
	struct sigaction action = { .sa_handler = wake_up }; /* without SA_RESTART: a write that waits ends */

	sigaction(SIGALRM, &action, NULL);
	if (getpid() == 1)
		set_up_guest();
	end_answer(0, now());
	for (;;) {
		bool fits = read_line();
		char *rest = line, *first;
		uint64_t begin;
		int error;

		first = word(&rest);
		if (*first == '\0')
			continue;
		sequence = strtoul(first, NULL, 10);
		if (strcmp(rest, "halt") == 0)
			shut_down();
		begin = now();
		error = fits ? run_command(rest) : E2BIG;
		end_answer(error, now() - begin);
	}
}
