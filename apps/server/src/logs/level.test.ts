import assert from 'node:assert/strict'
import test from 'node:test'
import type { LogLevel } from '@coderunner/contract'
import { levelOfLine } from './level.ts'

const lines: [LogLevel, string][] = [
  ['error', '{"level":50,"time":1,"msg":"no"}'],
  ['warn', '{"name":"app","level":40,"msg":"hm"}'],
  ['info', '{"level":30,"msg":"an error happened"}'],
  ['debug', '{"level":20}'],
  ['trace', '{"level":10}'],
  ['fatal', '{"level":60}'],
  ['error', '{"level":"error","message":"x"}'],
  ['warn', '{"message":"x","level":"warn"}'],
  ['error', '{"severity":"ERROR"}'],
  ['debug', '{"level":7}'],
  ['info', '{"msg":"no level, ERROR in the text"}'],
  ['error', '2026-01-01 12:00:00 ERROR cannot connect'],
  ['warn', '2026-01-01T12:00:00Z WARN  slow'],
  ['fatal', 'CRITICAL:root:gone'],
  ['error', '[error] bad'],
  ['info', '[Info] fine'],
  ['error', '\x1b[31merror\x1b[39m: it broke'],
  ['warn', 'warn - something'],
  ['error', 'time=1 level=error msg="no"'],
  ['error', 'Traceback (most recent call last):'],
  ['error', 'TypeError: Cannot read properties of undefined'],
  ['error', 'Error [ERR_MODULE_NOT_FOUND]: Cannot find module'],
  ['error', 'Uncaught Exception'],
  ['warn', '(node:42) [DEP0040] DeprecationWarning: punycode'],
  ['warn', 'npm warn deprecated glob@7'],
  ['error', 'npm ERR! code ELIFECYCLE'],
  ['error', 'npm error code 1'],
  ['error', '<3>kernel says'],
  ['info', 'Server listens on 3000'],
  ['info', 'no error was found in this information'],
  ['info', 'GET /errors 200'],
  ['info', ''],
]

for (const [level, line] of lines)
  test(`${level}: ${line}`, () => {
    assert.equal(levelOfLine(line), level)
  })
