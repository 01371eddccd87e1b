import type { DeployPlan } from '@coderunner/client'

/** The project file that says what was detected, with the rest of what can be said in comments. */
export function projectFileText({ detection }: DeployPlan): string {
  const { runtime, processes, port, root, indexFallback, build, release } = detection
  const web = processes.find(({ type }) => type === 'web')
  const others = processes.filter(({ type }) => type !== 'web')
  const why = detection.findings.map(finding => `#   ${oneLine(finding.what)} (${oneLine(finding.why)})`)
  const lines = [
    '# How CodeRunner builds and starts this project. What is left out is found by itself; options of `coderunner deploy`',
    '# go before this file. Variables of the environment have no place here: set them with `--env` or `--import-env`.',
    ...(why.length === 0 ? [] : ['#', '# Found:', ...why]),
    '',
    `runtime: ${runtime}`,
    '',
    '# Folder within the project that is deployed.',
    '# directory: apps/web',
    '',
    '# Instead of the build that was found; empty for none.',
    `# build: ${build === undefined ? 'npm run build' : scalar(build)}`,
  ]
  if (runtime === 'static')
    lines.push(
      '',
      '# Folder that is published, and whether unknown paths answer its index.html.',
      setting('root', root, 'dist'),
      setting('indexFallback', indexFallback, 'true'),
    )
  else
    lines.push(
      '',
      '# What answers requests. It is given the port to listen on as PORT.',
      setting('start', web?.command, 'node server.js'),
      '',
      '# Its own port, where it does not listen on PORT.',
      port === undefined || port === 3000 ? '# port: 8080' : `port: ${port}`,
      '',
      '# Runs once before a new version serves.',
      setting('release', release, 'node migrate.js'),
      '',
      '# What runs beside it and takes no requests.',
      ...(others.length === 0
        ? ['# processes:', '#   worker: node worker.js', '#   mailer: { command: node mailer.js, count: 2 }']
        : ['processes:', ...others.map(({ type, command, count }) => process(type, command, count))]),
    )
  return `${lines.join('\n')}\n`
}

function setting(name: string, value: string | boolean | undefined, example: string): string {
  return value === undefined ? `# ${name}: ${example}` : `${name}: ${scalar(String(value))}`
}

function process(type: string, command: string, count: number): string {
  return count === 1
    ? `  ${type}: ${scalar(command)}`
    : `  ${type}: { command: ${JSON.stringify(command)}, count: ${count} }`
}

/** Plain where it can be nothing else than the text; JSON's form, which is YAML's too, otherwise. */
function scalar(text: string): string {
  const isPlain = /^[A-Za-z_./][\w./=@+-]*(:[\w./@+-]+)*( [\w./=@+&$-][\w./=@+&$-]*(:[\w./@+-]+)*)*$/.test(text)
  const isWord = /^(yes|no|on|off|y|n|null|~|\.inf|\.nan)$/i.test(text)
  return isPlain && !isWord ? text : JSON.stringify(text)
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ')
}
