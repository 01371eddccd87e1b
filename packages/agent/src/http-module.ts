/**
 * node:http, taken without `import`: that reads every export, some of which load the whole of Node's fetch as they are
 * read (50 ms, half of the agent's start).
 */
export const { Agent, createServer, request } = process.getBuiltinModule('node:http')
