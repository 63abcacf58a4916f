/* The first process of every pod: it holds the pod's namespaces, and collects what other processes leave behind. */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>

static void end(int signal) {
  (void)signal;
  _exit(0);
}

static void collect(int signal) {
  (void)signal;
  int before = errno;
  while (waitpid(-1, NULL, WNOHANG) > 0) {
  }
  errno = before;
}

int main(void) {
  signal(SIGINT, end);
  signal(SIGTERM, end);
  signal(SIGCHLD, collect);
  for (;;) {
    pause();
  }
}
