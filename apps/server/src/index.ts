export { type Config, ConfigError, readConfig } from './config.ts'
export { ControlPlane, type Surroundings } from './server.ts'
