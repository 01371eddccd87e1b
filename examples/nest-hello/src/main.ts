import 'reflect-metadata'
import { Controller, Get, Module } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'

@Controller()
class HelloController {
  @Get()
  hello(): string {
    return 'Hello from NestJS\n'
  }
}

@Module({ controllers: [HelloController] })
class AppModule {}

async function start(): Promise<void> {
  const app = await NestFactory.create(AppModule)
  await app.listen(process.env['PORT'] ?? 3000)
}

void start()
