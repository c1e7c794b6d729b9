// Asks for an access key. The service keeps it in a cookie that no script can read.

import { send } from "./api.js";
import { h, show } from "./dom.js";

const form = document.getElementById("sign-in");
const message = document.getElementById("message");
const { key } = form.elements;

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  show(message);
  try {
    await send("POST", "/ui/session", { key: key.value.trim() });
    location.assign(document.body.dataset.next);
  } catch (error) {
    show(message, h("p", { class: "error", role: "alert" }, error.message));
    key.focus();
  }
});
key.focus();
