import { execFile } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { promisify } from 'node:util';
import type { EmbeddedServer } from '../../support/embedded-server.mjs';

/**
 * Puts a copy of one stopped server's data in the place of another's, as a restored backup does: roles and passwords come
 * with it.
 */
export async function copyData(from: EmbeddedServer, to: EmbeddedServer): Promise<void> {
  await rm(to.dataDirectory, { recursive: true });
  // cp -a, because the files belong to the server's account, not always to us.
  await promisify(execFile)('cp', ['-a', from.dataDirectory, to.dataDirectory]);
  to.password = from.password;
}
