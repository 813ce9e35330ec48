import { execFile } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { promisify } from 'node:util';
import type { EmbeddedServer } from '../../support/embedded-server.mjs';

/** Replaces a stopped server's data by a copy of another's, as a restored backup does, with its roles and passwords. */
export async function copyData(from: EmbeddedServer, to: EmbeddedServer): Promise<void> {
  await rm(to.dataDirectory, { recursive: true });
  // cp -a, because the files may belong to the server's account.
  await promisify(execFile)('cp', ['-a', from.dataDirectory, to.dataDirectory]);
  to.password = from.password;
}
