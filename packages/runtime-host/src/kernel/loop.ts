/** Disk images as block devices. Devices free themselves when their last user goes (autoclear). */
import { closeSync, constants, existsSync, openSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { call, KernelError } from './libc.ts'
import { type MountOptions, mountFileSystem } from './mount.ts'

const LOOP_CTL_REMOVE = 0x4c81
const LOOP_CTL_GET_FREE = 0x4c82
const LOOP_CLR_FD = 0x4c01
const LOOP_CONFIGURE = 0x4c0a
const LO_FLAGS_READ_ONLY = 1
const LO_FLAGS_AUTOCLEAR = 4
/** Another process may take the free device first; as many of us as may ever start at once. */
const ATTEMPTS = 64

/** struct loop_config: fd, block size, then struct loop_info64 (flags at 52 of it, name at 56), then reserved. */
const CONFIG_SIZE = 304
const CONFIG_FLAGS = 8 + 52
const CONFIG_NAME = 8 + 56

export interface LoopDevice extends Disposable {
  /** `/dev/loopN`. Mount it before disposing: then it stays until unmounted. */
  readonly path: string
}

/** Path of a device that nobody uses now; it may be gone the next moment. */
export function freeLoop(): string {
  const control = openSync('/dev/loop-control', 'r+')
  try {
    return `/dev/loop${call('ioctlNumber', 'find a free loop device', control, LOOP_CTL_GET_FREE, 0)}`
  } finally {
    closeSync(control)
  }
}

export function attachLoop(imagePath: string, options: { readOnly?: boolean } = {}): LoopDevice {
  const readOnly = options.readOnly === true
  const mode = readOnly ? constants.O_RDONLY : constants.O_RDWR
  const image = openSync(imagePath, mode)
  try {
    const config = Buffer.alloc(CONFIG_SIZE)
    config.writeUInt32LE(image, 0)
    config.writeUInt32LE(LO_FLAGS_AUTOCLEAR | (readOnly ? LO_FLAGS_READ_ONLY : 0), CONFIG_FLAGS)
    Buffer.from(imagePath).copy(config, CONFIG_NAME, 0, 63)
    for (let attempt = 1; ; attempt++) {
      const path = freeLoop()
      const device = openSync(path, mode)
      try {
        call('ioctl', `attach ${imagePath} to ${path}`, device, LOOP_CONFIGURE, config)
        return { path, [Symbol.dispose]: () => closeSync(device) }
      } catch (error) {
        closeSync(device)
        if (!(error instanceof KernelError && error.code === 'EBUSY') || attempt === ATTEMPTS) throw error
      }
    }
  } finally {
    closeSync(image)
  }
}

/** Mounts an ext4 image. The loop device goes when the mount does. `discard` gives removed files' space back. */
export function mountImage(
  imagePath: string,
  target: string,
  options: MountOptions & { discard?: boolean } = {},
): void {
  using device = attachLoop(imagePath, { readOnly: options.readOnly === true })
  const data = options.discard === true && options.readOnly !== true ? 'discard' : ''
  mountFileSystem(target, { noDev: true, ...options, source: device.path, type: 'ext4', data })
}

/** Loop devices now in use, by the path of the image as it was when attached. */
export async function attachedLoops(): Promise<{ device: string; imagePath: string }[]> {
  const names = (await readdir('/sys/block')).filter(name => name.startsWith('loop'))
  const found = await Promise.all(
    names.map(async name => {
      const imagePath = await readFile(`/sys/block/${name}/loop/backing_file`, 'utf8').catch(() => undefined)
      return imagePath === undefined ? [] : [{ device: `/dev/${name}`, imagePath: imagePath.trimEnd() }]
    }),
  )
  return found.flat()
}

/** Frees a device that autoclear has left (nothing mounted it). One still mounted is freed with its mount. */
export function detachLoop(device: string): void {
  const fd = openSync(device, 'r')
  try {
    call('ioctlNumber', `detach ${device}`, fd, LOOP_CLR_FD, 0)
  } catch (error) {
    if (!(error instanceof KernelError && error.code === 'ENXIO')) throw error
  } finally {
    closeSync(fd)
  }
}

/** Removes the device node of an unused loop device; busy or absent is no error. */
export function removeLoopNode(device: string): void {
  if (!existsSync(device)) return
  const control = openSync('/dev/loop-control', 'r+')
  try {
    const number = Number(device.replace('/dev/loop', ''))
    call('ioctlNumber', `remove ${device}`, control, LOOP_CTL_REMOVE, number)
  } catch (error) {
    if (!(error instanceof KernelError && ['EBUSY', 'ENODEV'].includes(error.code))) throw error
  } finally {
    closeSync(control)
  }
}
