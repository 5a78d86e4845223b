// A library that is loaded in place of ONNX Runtime, as code is that a hostile model has
// taken over: it tries to get out of the host and answers what each attempt met.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char report[4096];

static void note(const char *what, long result) {
	int error = errno;
	snprintf(report + strlen(report), sizeof report - strlen(report), "%s=%s;", what,
		result < 0 ? strerrorname_np(error) : "done");
}

static long open_file(const char *path, int flags) {
	int file = open(path, flags, 0600);
	if (file < 0) return -1;
	char byte;
	return (flags & O_ACCMODE) == O_RDONLY ? read(file, &byte, 1) : 0;
}

static long unix_socket(void) {
	int s = socket(AF_UNIX, SOCK_STREAM, 0);
	if (s < 0) return -1;
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	strncpy(to.sun_path, SOCKET, sizeof to.sun_path - 1);
	return connect(s, (struct sockaddr *)&to, sizeof to);
}

static long metadata(void) {
	int s = socket(AF_INET, SOCK_STREAM, 0);
	if (s < 0) return -1;
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(80)};
	to.sin_addr.s_addr = htonl(0xA9FEA9FE); // 169.254.169.254
	return connect(s, (struct sockaddr *)&to, sizeof to);
}

static long fork_one(void) {
	pid_t child = fork();
	if (child == 0) _exit(0);
	return child;
}

static long allocate(void) {
	const size_t piece = 64 << 20;
	for (int i = 0; i < 256; i++) { // 16 GiB
		char *p = mmap(NULL, piece, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED) return -1;
		for (size_t at = 0; at < piece && i < 32; at += 4096) p[at] = 1;
	}
	return 0;
}

static void *idle(void *none) { return none; }

__attribute__((constructor)) static void attack(void) {
#ifdef CRASH
	abort();
#endif
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/environ", getppid());
	note("environment", open_file(path, O_RDONLY));
	note("proc", open_file("/proc/self/maps", O_RDONLY));
	note("secret", open_file(SECRET, O_RDONLY));
	note("users", open_file("/etc/passwd", O_RDONLY));
	note("binary", open_file(BINARY, O_RDONLY));
	note("write", open_file("/x", O_CREAT | O_WRONLY));
	note("socket", unix_socket());
	note("metadata", metadata());
	note("fork", fork_one());
	note("clone", syscall(SYS_clone, 17, 0, 0, 0, 0));
	note("exec", execl("/bin/sh", "sh", "-c", "true", NULL));
	note("namespace", unshare(CLONE_NEWUSER));
	note("mount", mount("x", "/", "tmpfs", 0, NULL));
	note("root", setuid(getuid() ? 0 : 1));
	note("kill", kill(getppid() ? getppid() : -1, 0));
	struct rlimit more = {RLIM_INFINITY, RLIM_INFINITY};
	note("limit", setrlimit(RLIMIT_NOFILE, &more));
	pthread_t thread;
	errno = pthread_create(&thread, NULL, idle, NULL);
	note("thread", errno ? -1 : 0);
	int files = 0;
	for (int i = 4; i < 64; i++) files += fcntl(i, F_GETFD) >= 0 && !(fcntl(i, F_GETFD) & FD_CLOEXEC);
	errno = EMFILE;
	note("inherited", files ? 0 : -1);
	note("memory", allocate());
	dprintf(3, "{\"id\":2,\"error\":\"pid %d %s\"}\n", getpid(), report);
	_exit(0);
}
