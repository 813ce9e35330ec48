import { afterAll, beforeAll, test } from '@jest/globals';
import { putInFront, serverUrl } from './database.js';
import { hasPooler, startPooler, type Pooler, type PoolerOptions } from './pooler.js';

/** Runs the tests of another file again, with every database behind a pooler. */
export async function throughPooler(
  tests: () => Promise<unknown>,
  options: PoolerOptions = {},
): Promise<void> {
  if (!hasPooler) {
    test.skip('PgBouncer is not installed', () => undefined);
    return;
  }
  let pooler: Pooler | undefined;
  beforeAll(async () => {
    pooler = await startPooler(serverUrl(), options);
    putInFront(pooler);
  });
  afterAll(() => pooler?.stop());
  await tests();
}
