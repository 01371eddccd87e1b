export { ProcessProvider, type ProcessProviderOptions } from './process-provider.ts'
