import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { ReplicatedPair } from '../../adversarial/failover/replicated-pair.js';
import { doctor } from './doctor.js';

let pair: ReplicatedPair;

beforeAll(async () => {
  pair = await ReplicatedPair.start();
});
afterAll(() => pair.stop());

test('a replica is a failed check that says so, and the primary is none', async () => {
  const { of, code } = await doctor(pair.standby.url);
  expect(code).toBe(1);
  expect(of('primary')).toMatchObject({ status: 'fail', hint: expect.stringContaining('primary') });
  expect(of('listen').status).toBe('warn');
  expect((await doctor(pair.primary.url)).of('primary').status).toBe('ok');
});
