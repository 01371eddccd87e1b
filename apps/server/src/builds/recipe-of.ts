import type { api } from '@coderunner/contract'
import { argvOf } from '../analysis/command-line.ts'
import type { SourceTree } from '../sources/source-tree.ts'
import type { BuildRecipe, ReadText } from './build-recipe.ts'
import { nodeRecipe } from './node-recipe.ts'
import { pythonRecipe } from './python-recipe.ts'

/** How a detected project is built: by the language it is made with, whatever it is run as. */
export async function recipeOf(detection: api.Detection, tree: SourceTree, read: ReadText): Promise<BuildRecipe> {
  const recipe = await languageRecipe(detection, tree, read)
  return detection.runtime === 'static' ? { ...recipe, prune: [], output: detection.root ?? '.' } : recipe
}

function languageRecipe(detection: api.Detection, tree: SourceTree, read: ReadText): Promise<BuildRecipe> {
  if (detection.runtime === 'python' || detection.pythonVersion !== undefined)
    return pythonRecipe(detection, tree, read)
  if (detection.runtime === 'nodejs' || detection.packageManager !== undefined) return nodeRecipe(detection, tree, read)
  const { build, nodeVersion } = detection
  return Promise.resolve({
    software: nodeVersion === undefined ? {} : { nodeVersion },
    build: build === undefined ? [] : [{ argv: argvOf(build), label: build }],
    prune: [],
  })
}
