// Uploads a file with tus-js-client: tus-js-client.mjs GATEWAY FILE CHUNK ABORT_AT STORE
//
// Breaks off in the middle of the chunk that passes ABORT_AT bytes (0 = never). STORE remembers uploads from run to
// run, as a browser would. Says `url URL`, `from N` when it goes on with an upload, `offset N` after every chunk, and
// `done` or `aborted`.

import { createReadStream, statSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(`${process.env.E2E_TOOLS}/`);
const tus = require("tus-js-client");

const [gateway, path, chunk, abortAt, store] = process.argv.slice(2);
const say = (...words) => console.log(...words);
const fail = (error) => {
  console.error(error);
  process.exit(1);
};

const upload = new tus.Upload(createReadStream(path), {
  endpoint: `http://${gateway}/tus/`,
  chunkSize: Number(chunk),
  uploadSize: statSync(path).size,
  metadata: { filename: "电影 from node.mp4", filetype: "video/mp4" },
  urlStorage: new tus.FileUrlStorage(store),
  fingerprint: async () => path,
  // The gateway may be away for as long as it takes to start it again.
  retryDelays: Array.from({ length: 100 }, () => 100),
  removeFingerprintOnSuccess: true,
  onUploadUrlAvailable: () => say("url", upload.url),
  onChunkComplete: (_, accepted) => say("offset", accepted),
  onProgress: async (sent) => {
    if (!Number(abortAt) || sent <= Number(abortAt)) return;
    await upload.abort();
    say("aborted");
    process.exit(0);
  },
  onSuccess: () => {
    say("done");
    process.exit(0);
  },
  onError: fail,
});
const [previous] = await upload.findPreviousUploads();
if (previous) {
  say("from", previous.uploadUrl);
  upload.resumeFromPreviousUpload(previous);
}
upload.start();
