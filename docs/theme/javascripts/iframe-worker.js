// Search in a page that is opened from a folder. Browsers refuse to start a Worker there, so its
// script runs in a hidden frame instead. From a server this does nothing.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.body.append(this.frame);
      const inner = this.frame.contentWindow;
      window.addEventListener("message", (event) => {
        if (event.source === inner) {
          this.dispatchEvent(new MessageEvent("message", { data: event.data }));
        }
      });
      inner.document.open();
      inner.document.write(
        '<script>self.postMessage = (data) => parent.postMessage(data, "*")</script>' +
          `<script src="${new URL(url, location.href)}"></script>`,
      );
      inner.document.close();
      this.ready = new Promise((resolve) => {
        inner.addEventListener("load", resolve, { once: true });
      });
    }

    postMessage(data) {
      const inner = this.frame.contentWindow;
      this.ready.then(() => inner.dispatchEvent(new MessageEvent("message", { data })));
    }

    terminate() {
      this.frame.remove();
    }
  };
}
