import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { assertNothingLeft, CLI, NODE, startCli } from '../../support/run-cli.js';
import { openStage, poll, release, type Stage } from './stage.js';

/**
 * One run inside another one that has another lock, where a role admitted to the inner lock knows the outer run's
 * instance id.
 */

let outer: Stage;
let inner: Stage;
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'migrate-lock-test-'));
  [outer, inner] = [await openStage(), await openStage()];
});
afterEach(() => assertNothingLeft());
afterAll(async () => {
  rmSync(folder, { recursive: true });
  await Promise.all([outer.close(), inner.close()]);
});

test("another role's lease with the instance id of the outer run is not inherited: the inner run waits", async () => {
  const run = startCli(
    [
      ...['run', '--ttl', '1m', '--', 'sh', '-c'],
      'until [ -e "$GO" ]; do sleep 0.1; done; DATABASE_URL=$INNER "$NODE" "$CLI" run --wait-timeout 1s -- echo both run',
    ],
    {
      env: {
        DATABASE_URL: outer.app.url,
        INNER: inner.app.url,
        GO: join(folder, 'go'),
        NODE,
        CLI,
      },
    },
  );
  const { instanceId } = await run.waitForEvent('child.started');
  const mallory = inner.as(inner.other);
  expect(await poll(mallory, { p_instance_id: instanceId })).toMatchObject({ outcome: 'acquired' });
  writeFileSync(join(folder, 'go'), '');
  const { code, stderr } = await run.done;
  await release(mallory, instanceId, 's');
  expect(stderr).not.toContain('lock.inherited');
  expect(stderr).not.toMatch(/^both run$/m);
  expect(code).toBe(75);
});
