import { afterAll, expect, test } from '@jest/globals';
import { isAlive } from '../../support/processes.js';
import { Ground } from './start-one.js';

const ground = new Ground();
afterAll(() => ground.dispose());

test('a child that starts after its deadline is killed', async () => {
  const now = performance.now();
  const { child } = await ground.start('sh', ['-c', 'trap "" TERM; while :; do sleep 0.1; done'], {
    timeline: { termAtMs: now - 10_000, killAtMs: now - 9_000 },
  });
  expect(await child.ended).toMatchObject({ signal: 'SIGKILL', gone: true });
  expect(isAlive(child.pid)).toBe(false);
});
