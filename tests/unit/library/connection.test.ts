import { expect, test } from '@jest/globals';
import { MigrationLock } from '../../../src/index.js';

test.each([undefined, null, 5, {}, new URL('postgres://u:geheim@h/d')])(
  'a connection that is %p is told, and not a TypeError',
  (connection) => {
    const open = (): MigrationLock => new MigrationLock({ connection: connection as never });
    expect(open).toThrow(
      expect.objectContaining({
        exitCode: 64,
        message: 'connection is neither a URL nor a postgres.js instance.',
      }),
    );
  },
);
