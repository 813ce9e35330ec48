import { throughPooler } from '../harness/through-pooler.js';

await throughPooler(() => import('../cli/status.test.js'));
