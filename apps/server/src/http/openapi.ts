import { api } from '@coderunner/contract'
import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger'

/** The OpenAPI document is made from the routes' own schemas; problems and who may call are added to each. */
export function openapiOptions(options: { publicUrl: string; version: string }): FastifyDynamicSwaggerOptions {
  return {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'CodeRunner',
        description: 'Turns a folder of code into a running application at a URL.',
        version: options.version,
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      servers: [{ url: options.publicUrl }],
      components: {
        securitySchemes: {
          bearer: { type: 'http', scheme: 'bearer', description: 'The token of a log-in, or an API token.' },
        },
      },
      tags: [
        { name: 'accounts', description: 'Registration, log-in, sessions, API tokens' },
        { name: 'projects', description: 'Projects, their members and their audit trail' },
        { name: 'deployments', description: 'Deploying and controlling what runs' },
        { name: 'logs', description: 'Logs of builds and instances' },
        { name: 'health', description: 'Health and metrics of this server' },
      ],
    },
    transform({ schema, url, route }) {
      const { auth = 'user', permission } = route.config ?? {}
      const described = (schema ?? {}) as Record<string, unknown>
      const { response, ...rest } = described
      const answers = response ?? { 200: { description: 'Done' } }
      return {
        url,
        schema: {
          ...rest,
          operationId: (described['operationId'] as string | undefined) ?? operationId(String(route.method), url),
          security: auth === 'none' ? [] : auth === 'optional' ? [{}, { bearer: [] }] : [{ bearer: [] }],
          response: {
            ...answers,
            default: {
              description: 'A problem (RFC 9457)',
              content: { 'application/problem+json': { schema: api.ProblemBody } },
            },
          },
          'x-auth': auth,
          ...(permission && { 'x-permission': permission }),
        } as never,
      }
    },
  }
}

/** `POST /api/projects/:id/members` is `postProjectsByIdMembers`. */
function operationId(method: string, url: string): string {
  const words = url
    .replace(/^\/api/, '')
    .split('/')
    .filter(part => part !== '')
    .map(part => (part.startsWith(':') ? `by-${part.slice(1)}` : part))
    .join('-')
    .split(/[-.]/)
  return method.toLowerCase() + words.map(word => word.charAt(0).toUpperCase() + word.slice(1)).join('')
}
