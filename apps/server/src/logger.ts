import { type Logger, pino } from 'pino'

const secrets = ['authorization', 'cookie', 'password', 'token', 'setupToken', 'invitation', 'secret', 'env']

/** JSON lines on stdout, secrets taken out wherever an object that is logged has them. */
export function createLogger(level: string): Logger {
  return pino({
    level,
    base: { process: 'server' },
    redact: {
      paths: [
        ...secrets,
        ...secrets.map(name => `*.${name}`),
        ...secrets.map(name => `*.*.${name}`),
        '["set-cookie"]',
        '*["set-cookie"]',
      ],
      censor: '[redacted]',
    },
  })
}
