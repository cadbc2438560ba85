/* Buttons with data-passkey: the server says what to ask for, and hears the answer. */
"use strict";
(() => {
  const { credentials } = navigator;
  const kind = window.PublicKeyCredential;
  if (!kind?.parseRequestOptionsFromJSON) return;
  const words = {
    NotAllowedError: "Nothing was done: it was cancelled, or took too long. Try again.",
    InvalidStateError: "This device has a passkey of yours already.",
    SecurityError: "Passkeys work at this server’s own address only.",
    TypeError: "No answer from the server. Check the connection.",
  };

  // Asks as htmx does. Throws undefined where the page leaves, or its form says why.
  const ask = async (button, url, body) => {
    const headers = { "HX-Request": 1, "HX-Current-URL": location.href };
    const answer = await fetch(url, { method: "POST", body, headers });
    const there = answer.headers.get("HX-Redirect");
    if (there) throw location.assign(there);
    if (answer.ok) return answer;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const form = page.querySelector("form");
    if (!form) throw page.querySelector("[data-error]") || answer;
    button.form.replaceWith(form);
    throw void document.dispatchEvent(new Event("htmx:afterSettle"));
  };

  const run = async (button, { passkey, next }) => {
    const typed = button.type === "submit" ? new FormData(button.form) : null;
    const options = await (await ask(button, `${passkey}/options`, typed)).json();
    const made = await (options.user
      ? credentials.create({ publicKey: kind.parseCreationOptionsFromJSON(options) })
      : credentials.get({ publicKey: kind.parseRequestOptionsFromJSON(options) }));
    const answer = await ask(button, passkey, JSON.stringify({ ...made.toJSON(), next }));
    const place = button.closest(".stepup");
    place.innerHTML = await answer.text();
    place.firstElementChild.focus();
  };

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-passkey]");
    if (!button) return;
    event.preventDefault();
    if (button.ariaBusy) return;
    button.ariaBusy = true;
    const region = button.closest(".passkey").querySelector("[role=alert]");
    const say = (text) => { region.textContent = text; };
    say("");
    await run(button, button.dataset).catch((error) => {
      if (error) say(words[error.name] || error.textContent || "It failed. Reload and try again.");
    });
    button.ariaBusy = null;
  });
  document.documentElement.classList.add("passkeys");
})();
