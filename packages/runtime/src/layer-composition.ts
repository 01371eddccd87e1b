/**
 * For providers that copy layers instead of mounting them. A captured layer is then the whole tree as the sandbox saw
 * it, and what the sandbox had removed is missing from it: so over the very layers that it was made over, it stands in
 * for all of them. Gives the layers to copy, lowest first.
 */
export function layersToCopy(layers: readonly string[], madeOver: (layer: string) => readonly string[]): string[] {
  let copied: string[] = []
  for (let at = layers.length - 1; at >= 0; at--) {
    const layer = layers[at] ?? ''
    const below = layers.slice(at + 1)
    const over = madeOver(layer)
    const whole = over.length === below.length && over.every((id, index) => id === below[index])
    copied = whole ? [layer] : [...copied, layer]
  }
  return copied
}
