import { spawnSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { DescriptorOutput } from '../../../src/output/descriptor-output.js';
import { waitFor } from '../../support/wait-for.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'migrate-lock-descriptor-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

function openPipe(name: string) {
  const path = join(folder, name);
  spawnSync('mkfifo', [path]);
  const openReader = () => openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const reader = openReader();
  return { openReader, reader, writer: openSync(path, constants.O_WRONLY | constants.O_NONBLOCK) };
}

test('a line that lost its end does not damage the next line', async () => {
  const pipe = openPipe('cut');
  const output = new DescriptorOutput(pipe.writer, { owned: true });
  output.writeLine('x'.repeat(100_000)); // more than the pipe takes
  closeSync(pipe.reader);
  await expect(output.flush(5_000)).resolves.toBe(true); // lost: there is no reader
  const reader = pipe.openReader();
  output.writeLine('{"event":"next"}');
  let text = '';
  await waitFor('the next line', () => {
    const buffer = Buffer.alloc(200_000);
    text += buffer.toString('utf8', 0, readSync(reader, buffer));
    return text.endsWith('}\n');
  });
  expect(text.length).toBeGreaterThan(60_000);
  expect(text).toMatch(/x\n\{"event":"next"\}\n$/);
  output.close();
  closeSync(reader);
});

test('flush waits for a slow reader up to its limit, and close ends the wait', async () => {
  const pipe = openPipe('flush');
  const output = new DescriptorOutput(pipe.writer, { owned: true });
  await expect(output.flush(0)).resolves.toBe(true);
  output.writeLine('x'.repeat(100_000));
  const startedMs = performance.now();
  await expect(output.flush(100)).resolves.toBe(false);
  expect(performance.now() - startedMs).toBeGreaterThan(95);

  const both = Promise.all([output.flush(5_000), output.flush(5_000)]);
  readSync(pipe.reader, Buffer.alloc(65_536));
  await expect(both).resolves.toEqual([true, true]);

  output.writeLine('x'.repeat(100_000));
  const last = output.flush(5_000);
  output.close();
  await expect(last).resolves.toBe(false);
  output.close();
  output.writeLine('ignored');
  await expect(output.flush(0)).resolves.toBe(true);
  closeSync(pipe.reader);
});
