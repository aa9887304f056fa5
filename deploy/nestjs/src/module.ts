import { ConfigurableModuleBuilder, Module } from '@nestjs/common';

import { EdgeStreams, type EdgeStreamsOptions } from './streams';

const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN } = new ConfigurableModuleBuilder<EdgeStreamsOptions>()
  .setClassMethodName('forRoot')
  .build();

/** Provides EdgeStreams: `EdgeStreamsModule.forRoot({ devices, cursors })`, or forRootAsync with a factory or class. */
@Module({
  providers: [
    {
      provide: EdgeStreams,
      inject: [MODULE_OPTIONS_TOKEN],
      useFactory: (options: EdgeStreamsOptions) => new EdgeStreams(options),
    },
  ],
  exports: [EdgeStreams],
})
export class EdgeStreamsModule extends ConfigurableModuleClass {}
