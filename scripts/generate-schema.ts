/** Writes apps/server/src/database-schema.ts from the migrations: run it after every new migration. */
import { writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { Database } from '@coderunner/database'
import { testDatabase } from '@coderunner/database/testing'
import { generate, PostgresDialect } from 'kysely-codegen'

const root = new URL('../apps/server/', import.meta.url)

export async function generateSchema(): Promise<string> {
  await using created = await testDatabase(fileURLToPath(new URL('migrations', root)))
  await using database = await Database.connect({ url: created.url })
  const schema = await generate({
    db: database.kysely,
    dialect: new PostgresDialect(),
    outFile: null,
    // The pool parses bigint to a number: packages/database/src/type-parsers.ts.
    typeMapping: { int8: 'number', jsonb: 'JsonColumn' },
    typeOnlyImports: true,
  })
  const imports = 'import type { ColumnType } from "kysely";\n'
  // The generator's own customImports leaves the import out when the type is only named by a typeMapping.
  return schema.replace(imports, `${imports}import type { JsonColumn } from "./json-column.ts";\n`)
}

if (import.meta.main) await writeFile(new URL('src/database-schema.ts', root), await generateSchema())
