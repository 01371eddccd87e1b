/**
 * The few functions of the C library that Node has no words for. Called in process, because a spawn costs more than
 * everything else in starting a sandbox (mount by spawn 2.7 ms, by call 0.3). Loaded at first use.
 */
import { constants } from 'node:os'
import koffi from 'koffi'

type NativeFunction = ReturnType<ReturnType<typeof koffi.load>['func']>

const signatures = {
  mount: 'int mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)',
  umount2: 'int umount2(const char *target, int flags)',
  syncfs: 'int syncfs(int fd)',
  lseek: 'long lseek(int fd, long offset, int whence)',
  setns: 'int setns(int fd, int nstype)',
  unshare: 'int unshare(int flags)',
  pivotRoot: 'int pivot_root(const char *newRoot, const char *oldRoot)',
  prctl: 'int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)',
  ioctl: 'int ioctl(int fd, unsigned long request, void *argument)',
  ioctlNumber: 'int ioctl(int fd, unsigned long request, long argument)',
  flock: 'int flock(int fd, int operation)',
  pipe2: 'int pipe2(void *fds, int flags)',
  socket: 'int socket(int domain, int type, int protocol)',
  send: 'long send(int fd, const void *data, size_t length, int flags)',
  recv: 'long recv(int fd, void *data, size_t length, int flags)',
  openTree: 'long syscall(long number, int fd, const char *path, unsigned int flags)',
  mountSetattr:
    'long syscall(long number, int fd, const char *path, unsigned int flags, const void *attributes, size_t size)',
  moveMount: 'long syscall(long number, int fromFd, const char *from, int toFd, const char *to, unsigned int flags)',
} as const
export type LibcFunction = keyof typeof signatures

let library: ReturnType<typeof koffi.load> | undefined
const loaded = new Map<LibcFunction, NativeFunction>()

function nativeFunction(name: LibcFunction): NativeFunction {
  let found = loaded.get(name)
  if (found === undefined) {
    library ??= koffi.load('libc.so.6')
    found = library.func(signatures[name])
    loaded.set(name, found)
  }
  return found
}

/** A call the kernel refused. `code` is the errno's name, such as `EPERM`. */
export class KernelError extends Error {
  readonly code: string
  constructor(code: string, attempted: string) {
    super(`${attempted}: ${code}`)
    this.name = 'KernelError'
    this.code = code
  }
}

const errnoNames = new Map(Object.entries(constants.errno).map(([name, number]) => [number, name]))

/**
 * Calls a function that answers -1 with errno set.
 * @param attempted what was tried, in words that help whoever reads the error
 * @throws KernelError
 */
export function call(name: LibcFunction, attempted: string, ...args: unknown[]): number {
  const result = Number(nativeFunction(name)(...args))
  if (result < 0) throw lastError(attempted)
  return result
}

/**
 * The same on a thread of the pool, for what may wait for a disk. errno belongs to that thread and cannot be read here,
 * so use it only where a second call, made when it fails, fails in the same way and names the reason.
 */
export async function callInBackground(name: LibcFunction, attempted: string, ...args: unknown[]): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  nativeFunction(name).async(...args, (error: Error | null, result: number) => {
    if (error === null) resolve(result)
    else reject(error)
  })
  const result = await promise
  return result < 0 ? call(name, attempted, ...args) : result
}

function lastError(attempted: string): KernelError {
  const errno = koffi.errno()
  return new KernelError(errnoNames.get(errno) ?? `errno ${errno}`, attempted)
}
