export { defaultLimits, type IngressConfig, type IngressLimits, readConfig } from './config.ts'
export { Ingress } from './ingress.ts'
