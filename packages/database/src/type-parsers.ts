import { type CustomTypesConfig, TypeOverrides, types } from 'pg'

function parseInt8(text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value)) throw new RangeError(`The bigint ${text} does not fit a number.`)
  return value
}

const overrides = new TypeOverrides()
overrides.setTypeParser(types.builtins.INT8, parseInt8)

/** int8 arrives as a string by default, which turns sums into concatenations: here it is a number, or an error. */
export const typeParsers: CustomTypesConfig = overrides
