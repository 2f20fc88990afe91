/* SPDX-License-Identifier: Apache-2.0 */
/* Endpoints: their text, and the socket that listens on one. */
#include "embedded.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	LISTEN_BACKLOG = 512,
	/** A second for another bridge to bind: it needs far less. */
	LOCK_TRIES     = 100,
	LOCK_PAUSE_NS  = 10000000,
};

static int parse_unix(const char *path, struct emb_endpoint *out)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&out->addr;
	size_t              len = strlen(path);

	if (path[0] != '/' || len < 2 || len >= sizeof un->sun_path)
		return -EINVAL;
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, path, len + 1);
	out->len = sizeof *un;
	out->is_unix = true;
	return 0;
}

static int parse_port(const char *text, in_port_t *out)
{
	unsigned port = 0;

	if (*text == '\0')
		return -EINVAL;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		port = port * 10 + (unsigned)(*text - '0');
		if (port > UINT16_MAX)
			return -EINVAL;
	}
	if (port == 0)
		return -EINVAL;
	*out = htons((uint16_t)port);
	return 0;
}

static int parse_tcp(const char *text, struct emb_endpoint *out)
{
	struct sockaddr_in  *in4 = (struct sockaddr_in *)&out->addr;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&out->addr;
	const char          *at = strrchr(text, '@');
	char                 ip[INET6_ADDRSTRLEN];
	in_port_t            port;

	if (at == NULL || (size_t)(at - text) >= sizeof ip ||
	    parse_port(at + 1, &port) != 0)
		return -EINVAL;
	memcpy(ip, text, (size_t)(at - text));
	ip[at - text] = '\0';
	if (inet_pton(AF_INET, ip, &in4->sin_addr) == 1) {
		in4->sin_family = AF_INET;
		in4->sin_port = port;
		out->len = sizeof *in4;
		return 0;
	}
	if (inet_pton(AF_INET6, ip, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = port;
		out->len = sizeof *in6;
		return 0;
	}
	return -EINVAL;
}

int emb_endpoint_parse(const char *text, struct emb_endpoint *out)
{
	static const char unix_prefix[] = "unix:";
	static const char tcp_prefix[] = "inet:tcp:";

	memset(out, 0, sizeof *out);
	if (strlen(text) >= sizeof out->text)
		return -EINVAL;
	strcpy(out->text, text);
	if (strncmp(text, unix_prefix, sizeof unix_prefix - 1) == 0)
		return parse_unix(text + sizeof unix_prefix - 1, out);
	if (strncmp(text, tcp_prefix, sizeof tcp_prefix - 1) == 0)
		return parse_tcp(text + sizeof tcp_prefix - 1, out);
	return -EINVAL;
}

/* Removes the socket of a bridge that is dead. */
static int unix_clear(const struct emb_endpoint *ep)
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)&ep->addr;
	struct stat               st;
	int                       fd;
	int                       rc = 0;

	if (lstat(un->sun_path, &st) != 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EADDRINUSE;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* Only a refusal says that nobody listens; a full backlog does not. */
	if (connect(fd, (const struct sockaddr *)un, sizeof *un) == 0 ||
	    errno != ECONNREFUSED)
		rc = -EADDRINUSE;
	close(fd);
	if (rc == 0 && unlink(un->sun_path) != 0 && errno != ENOENT)
		rc = -errno;
	return rc;
}

/*
 * Locks the directory of a socket, so that a bridge takes neither a path that
 * another is about to listen on for a dead one's, nor removes what the other has
 * just put there.
 *
 * @return a descriptor, to be closed; or a negative errno
 */
static int unix_lock(const struct emb_endpoint *ep)
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)&ep->addr;
	const struct timespec     pause = { .tv_nsec = LOCK_PAUSE_NS };
	char                      dir[sizeof un->sun_path];
	char                     *slash;
	int                       fd;

	strcpy(dir, un->sun_path);
	slash = strrchr(dir, '/');
	slash[slash == dir ? 1 : 0] = '\0';
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	for (int i = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; i++) {
		if (i == LOCK_TRIES || (errno != EWOULDBLOCK && errno != EINTR)) {
			int rc = -errno;

			close(fd);
			return rc;
		}
		nanosleep(&pause, NULL);
	}
	return fd;
}

static int open_listener(emb_t *e)
{
	const struct emb_endpoint *ep = &e->endpoint;
	const struct sockaddr_un  *un = (const struct sockaddr_un *)&ep->addr;
	const int                  one = 1;
	struct stat                st;
	bool                       bound = false;
	int                        fd;
	int                        rc = 0;

	if (ep->is_unix) {
		rc = unix_clear(ep);
		if (rc != 0)
			return rc;
	}
	fd = socket(ep->addr.ss_family,
		    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (!ep->is_unix &&
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0)
		rc = -errno;
	if (rc == 0 && ep->addr.ss_family == AF_INET6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one) != 0)
		rc = -errno;
	if (rc == 0) {
		bound = bind(fd, (const struct sockaddr *)&ep->addr,
			     ep->len) == 0;
		if (!bound || listen(fd, LISTEN_BACKLOG) != 0)
			rc = -errno;
	}
	if (rc == 0 && ep->is_unix) {
		if (lstat(un->sun_path, &st) == 0) {
			e->unix_dev = st.st_dev;
			e->unix_ino = st.st_ino;
		} else {
			rc = -errno;
		}
	}
	if (rc == 0)
		return fd;
	if (bound && ep->is_unix)
		unlink(un->sun_path);
	close(fd);
	return rc;
}

int emb_endpoint_listen(emb_t *e)
{
	int lock_fd = -1;
	int rc;

	if (e->endpoint.is_unix) {
		lock_fd = unix_lock(&e->endpoint);
		if (lock_fd < 0)
			return lock_fd;
	}
	rc = open_listener(e);
	if (lock_fd >= 0)
		close(lock_fd);
	return rc;
}

void emb_endpoint_close(emb_t *e)
{
	const struct sockaddr_un *un =
		(const struct sockaddr_un *)&e->endpoint.addr;
	struct stat               st;

	if (e->listen_fd < 0)
		return;
	/*
	 * Somebody may have removed ours, and another bridge put its own there.
	 * As long as our socket is open no other has its numbers, and no other
	 * bridge takes its path.
	 */
	if (e->endpoint.is_unix && lstat(un->sun_path, &st) == 0 &&
	    st.st_dev == e->unix_dev && st.st_ino == e->unix_ino)
		unlink(un->sun_path);
	(void)epoll_ctl(e->epoll_fd, EPOLL_CTL_DEL, e->listen_fd, NULL);
	close(e->listen_fd);
	e->listen_fd = -1;
}
