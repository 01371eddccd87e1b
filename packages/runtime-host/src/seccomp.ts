/**
 * System calls a sandbox may make: what ordinary programs need and no more. What administers the machine (mounts,
 * namespaces, modules, clocks, quotas), reaches into the kernel (bpf, perf, io_uring, userfaultfd, keyrings) or is
 * obsolete is refused with EPERM. Written for a process without capabilities, so nothing here depends on one.
 */
const groups = {
  files:
    'access faccessat faccessat2 open openat openat2 creat close close_range read readv pread64 preadv preadv2 write writev pwrite64 pwritev pwritev2 lseek _llseek stat lstat fstat newfstatat statx statfs fstatfs truncate ftruncate fallocate fadvise64 readahead cachestat sync syncfs fsync fdatasync sync_file_range fcntl flock ioctl dup dup2 dup3 pipe pipe2 sendfile splice tee vmsplice copy_file_range umask',
  names:
    'mkdir mkdirat rmdir rename renameat renameat2 link linkat unlink unlinkat symlink symlinkat readlink readlinkat mknod mknodat getdents getdents64 getcwd chdir fchdir chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat utime utimes futimesat utimensat getxattr lgetxattr fgetxattr setxattr lsetxattr fsetxattr listxattr llistxattr flistxattr removexattr lremovexattr fremovexattr getxattrat setxattrat listxattrat removexattrat inotify_init inotify_init1 inotify_add_watch inotify_rm_watch name_to_handle_at',
  memory:
    'brk mmap munmap mremap mprotect madvise mincore msync mlock mlock2 mlockall munlock munlockall memfd_create memfd_secret membarrier remap_file_pages pkey_alloc pkey_free pkey_mprotect map_shadow_stack mseal',
  processes:
    'fork vfork execve execveat exit exit_group wait4 waitid getpid getppid gettid getpgid setpgid getpgrp getsid setsid set_tid_address set_robust_list get_robust_list rseq prctl arch_prctl pidfd_open pidfd_send_signal process_mrelease ptrace process_vm_readv process_vm_writev getcpu sched_yield sched_getaffinity sched_setaffinity sched_getattr sched_setattr sched_getparam sched_setparam sched_getscheduler sched_setscheduler sched_get_priority_min sched_get_priority_max sched_rr_get_interval getpriority setpriority ioprio_get ioprio_set getrlimit setrlimit prlimit64 getrusage times sysinfo uname seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self restart_syscall',
  users:
    'getuid geteuid getgid getegid getresuid getresgid getgroups setuid setgid setreuid setregid setresuid setresgid setgroups setfsuid setfsgid capget capset',
  signals:
    'rt_sigaction rt_sigprocmask rt_sigpending rt_sigqueueinfo rt_tgsigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait sigaltstack signalfd signalfd4 kill tkill tgkill pause alarm',
  time: 'time gettimeofday clock_gettime clock_getres clock_nanosleep nanosleep getitimer setitimer timer_create timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime timerfd_settime adjtimex clock_adjtime',
  waiting:
    'futex futex_waitv futex_wake futex_wait futex_requeue eventfd eventfd2 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_wait epoll_wait_old epoll_pwait epoll_pwait2 poll ppoll select pselect6 io_setup io_submit io_cancel io_getevents io_pgetevents io_destroy',
  exchange:
    'shmget shmat shmctl shmdt semget semop semtimedop semctl msgget msgsnd msgrcv msgctl mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr',
  network:
    'socketpair bind listen accept accept4 connect getsockname getpeername getsockopt setsockopt sendto sendmsg sendmmsg recvfrom recvmsg recvmmsg shutdown',
  random: 'getrandom',
}

/** Flags of clone(2) that make namespaces. */
const CLONE_NAMESPACES = 0x7e020000
/** unix, inet, inet6, netlink: not packet, vsock (another way to the host) or alg. */
const SOCKET_FAMILIES = [1, 2, 10, 16]
/** Linux and its variants without randomised addresses or with a 32-bit name; 0xffffffff only asks. */
const PERSONALITIES = [0, 0x0008, 0x20000, 0x20008, 0xffffffff]
const ENOSYS = 38

const allowWhenFirstIs = (name: string, value: number): object => ({
  names: [name],
  action: 'SCMP_ACT_ALLOW',
  args: [{ index: 0, value, op: 'SCMP_CMP_EQ' }],
})

/** The `linux.seccomp` section. Calls of another architecture than the machine's own (32-bit on 64) end the process. */
export function seccompProfile(arch: NodeJS.Architecture = process.arch): object {
  return {
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: 1,
    architectures: [arch === 'arm64' ? 'SCMP_ARCH_AARCH64' : 'SCMP_ARCH_X86_64'],
    syscalls: [
      { names: Object.values(groups).flatMap(names => names.split(' ')), action: 'SCMP_ACT_ALLOW' },
      {
        names: ['clone'],
        action: 'SCMP_ACT_ALLOW',
        args: [{ index: 0, value: CLONE_NAMESPACES, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }],
      },
      // Its flags lie in memory, where a filter cannot look: libraries fall back to clone.
      { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: ENOSYS },
      ...SOCKET_FAMILIES.map(family => allowWhenFirstIs('socket', family)),
      ...PERSONALITIES.map(personality => allowWhenFirstIs('personality', personality)),
    ],
  }
}
