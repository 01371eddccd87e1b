// Puts in place what CodeRunner needs from npm and from the distribution. Plain JavaScript for Node 20, with nothing
// installed.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const repository = fileURLToPath(new URL('..', import.meta.url))

/** Debian's packages, each with a program that shows it is there. */
const packages = {
  conmon: 'conmon',
  runc: 'runc',
  tini: 'tini',
  iproute2: 'ip',
  nftables: 'nft',
  mmdebstrap: 'mmdebstrap',
  e2fsprogs: 'mkfs.ext4',
  'util-linux': 'unshare',
}

const say = line => process.stderr.write(`${line}\n`)
const isRoot = () => process.getuid?.() === 0

/**
 * Installs what is missing, or ends the process with the command that does.
 * @param {{install: boolean, system?: boolean, root?: string}} options `system: false` leaves the distribution's packages
 *   alone; `root` is the command that has to be run as root where sandboxes are isolated
 */
export async function ensureReady({ install, system = true, root }) {
  const isolated = process.env.CODERUNNER_RUNTIME !== 'process'
  if (isolated && root !== undefined) ensureRoot(root)
  ensureNodeModules(install)
  if (system && isolated && process.platform === 'linux') ensureSystemPackages(install)
}

/** Before anything is installed: all that is missing at once, and the one command that sees to it. */
function ensureRoot(command) {
  if (isRoot() && process.platform === 'linux') return
  const alternative = `Without isolation, for your own code only and on this machine only:\n  CODERUNNER_RUNTIME=process ${command}`
  if (process.platform !== 'linux') {
    say(`Isolated sandboxes need Linux, and this is ${process.platform}.\n${alternative}`)
    process.exit(1)
  }
  say('Isolated sandboxes need root, and this is not root.')
  const missing = missingPrograms()
  if (missing.length > 0) say(`Missing system packages: ${missing.join(', ')}.`)
  const installs = missing.length > 0 || missingModules().length > 0
  say(`Run${installs ? ', which also installs what is missing' : ''}:\n  sudo ${command}\n${alternative}`)
  process.exit(1)
}

function ensureNodeModules(install) {
  const missing = missingModules()
  if (missing.length === 0) return
  if (!install) fail(`node_modules lacks ${shortList(missing)}.`, 'npm install')
  say(`Installing npm packages (${missing.length} missing) …`)
  // Not `npm ci`: it empties node_modules under an instance that may be running from it, and it refuses a lock file
  // that lacks other platforms' optional packages, as one written through a partial mirror of the registry does.
  run('npm', ['install', '--no-save', '--no-audit', '--no-fund', '--loglevel=error'])
  const still = missingModules()
  if (still.length > 0) fail(`npm did not install ${shortList(still)}.`, 'rm -r node_modules && npm install')
}

/** Compares the lock file with what npm noted down, and what it noted with what is there. */
function missingModules() {
  const wanted = readJson(join(repository, 'package-lock.json'))?.packages ?? {}
  const missing = []
  for (const [path, entry] of Object.entries(wanted)) {
    if (path === '' || !path.includes('node_modules/') || !isForThisMachine(entry)) continue
    const present = readJson(join(repository, path, 'package.json'))
    const isInstalled = entry.link === true ? present !== undefined : present?.version === entry.version
    if (!isInstalled && !(entry.optional === true && !isPinned(path)))
      missing.push(path.replace(/^.*node_modules\//, ''))
  }
  return missing
}

const isPinned = path =>
  path.includes(`-${process.platform}-${process.arch}`) || path.endsWith(`/${process.platform}-${process.arch}`)

function isForThisMachine({ os, cpu, libc }) {
  return (
    allows(os, process.platform) &&
    allows(cpu, process.arch) &&
    allows(libc, existsSync('/etc/alpine-release') ? 'musl' : 'glibc')
  )
}

/** npm's `os`, `cpu` and `libc`: a word or several, and `!word` for all but that one. */
function allows(words, own) {
  const list = [words ?? []].flat()
  if (list.some(word => word.startsWith('!'))) return !list.includes(`!${own}`)
  return list.length === 0 || list.includes(own)
}

function ensureSystemPackages(install) {
  const missing = missingPrograms()
  if (missing.length === 0) return
  const command = `apt-get install --yes --no-install-recommends ${missing.join(' ')}`
  const what = `Missing system packages: ${missing.join(', ')}.`
  if (!hasProgram('apt-get')) fail(`${what} Install them with this distribution's own tool.`)
  if (!isRoot() || !install) fail(what, `${isRoot() ? '' : 'sudo '}${command}`)
  say(`${what} Installing them …`)
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  run('apt-get', ['update', '--quiet', '--quiet'], env)
  run('apt-get', ['--quiet', '--quiet', ...command.split(' ').slice(1)], env)
}

const missingPrograms = () => Object.keys(packages).filter(name => !hasProgram(packages[name]))

function hasProgram(name) {
  const directories = `${process.env.PATH ?? ''}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin`.split(':')
  return directories.some(directory => directory !== '' && existsSync(join(directory, name)))
}

function run(command, args, env = process.env) {
  // Both streams to stderr: stdout belongs to what is started afterwards.
  const { status, error } = spawnSync(command, args, { cwd: repository, env, stdio: ['ignore', 2, 2] })
  if (status !== 0) fail(`${command} ${args.join(' ')} failed${error === undefined ? '' : `: ${error.message}`}.`)
}

function fail(what, command) {
  say(what)
  if (command !== undefined) say(`Run:\n  ${command}`)
  process.exit(1)
}

const shortList = names =>
  names.length > 3 ? `${names.slice(0, 3).join(', ')} and ${names.length - 3} more` : names.join(', ')

function readJson(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch {
    return undefined // Absent, or cut short: both mean that it has to be installed.
  }
}
