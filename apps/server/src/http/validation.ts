import type { FastifySchemaCompiler } from 'fastify'
import type { TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import { Value } from 'typebox/value'

/**
 * Bodies are taken as they are, and no schema of theirs has defaults: looking for some in the list of a large upload takes
 * longer than all else. Query, parameters and headers are text, so numbers and booleans are read from it.
 */
export const compileValidator: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const compiled = Compile(schema)
  return (input: unknown) => {
    const value = httpPart === 'body' ? input : Value.Default(schema, Value.Convert(schema, input))
    if (compiled.Check(value)) return { value }
    const problems = compiled.Errors(value).map(({ keyword, schemaPath, instancePath, params, message }) => ({
      keyword,
      schemaPath,
      instancePath,
      params: params as Record<string, unknown>,
      message,
    }))
    return { error: Object.assign(new Error('not valid'), { validation: problems, statusCode: 400 }) }
  }
}
