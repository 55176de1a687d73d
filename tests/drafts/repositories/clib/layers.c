#include "layers.h"
#include <math.h>
#include <stddef.h>

void linear_forward(float* out, const float* inp, const float* weight, const float* bias, int B, int T, int C, int OC) {
    for (int bt = 0; bt < B * T; bt++) {
        for (int o = 0; o < OC; o++) {
            float val = (bias != NULL) ? bias[o] : 0.0f;
            for (int i = 0; i < C; i++) {
                val += inp[bt * C + i] * weight[o * C + i];
            }
            out[bt * OC + o] = val;
        }
    }
}

void linear_backward(float* dinp, float* dweight, float* dbias, const float* dout, const float* inp,
                     const float* weight, int B, int T, int C, int OC) {
    for (int bt = 0; bt < B * T; bt++) {
        for (int o = 0; o < OC; o++) {
            float d = dout[bt * OC + o];
            for (int i = 0; i < C; i++) {
                dinp[bt * C + i] += weight[o * C + i] * d;
                dweight[o * C + i] += inp[bt * C + i] * d;
            }
            if (dbias != NULL) {
                dbias[o] += d;
            }
        }
    }
}

void layernorm_forward(float* out, float* mean, float* rstd, const float* inp, const float* weight, const float* bias,
                       int B, int T, int C) {
    float eps = 1e-5f;
    for (int bt = 0; bt < B * T; bt++) {
        const float* x = inp + bt * C;
        float m = 0.0f, v = 0.0f;
        for (int i = 0; i < C; i++) m += x[i];
        m /= C;
        for (int i = 0; i < C; i++) v += (x[i] - m) * (x[i] - m);
        v /= C;
        float s = 1.0f / sqrtf(v + eps);
        for (int i = 0; i < C; i++) out[bt * C + i] = (x[i] - m) * s * weight[i] + bias[i];
        mean[bt] = m;
        rstd[bt] = s;
    }
}

void layernorm_backward(float* dinp, float* dweight, float* dbias, const float* dout, const float* inp,
                        const float* weight, const float* mean, const float* rstd, int B, int T, int C) {
    for (int bt = 0; bt < B * T; bt++) {
        const float* x = inp + bt * C;
        const float* d = dout + bt * C;
        float m = mean[bt], s = rstd[bt];
        float dnorm_mean = 0.0f, dnorm_norm_mean = 0.0f;
        for (int i = 0; i < C; i++) {
            float norm = (x[i] - m) * s;
            float dnorm = weight[i] * d[i];
            dnorm_mean += dnorm;
            dnorm_norm_mean += dnorm * norm;
        }
        dnorm_mean /= C;
        dnorm_norm_mean /= C;
        for (int i = 0; i < C; i++) {
            float norm = (x[i] - m) * s;
            dbias[i] += d[i];
            dweight[i] += norm * d[i];
            dinp[bt * C + i] += (weight[i] * d[i] - dnorm_mean - norm * dnorm_norm_mean) * s;
        }
    }
}

#define GELU_SCALE sqrtf(2.0f / 3.14159265358979f)

void gelu_forward(float* out, const float* inp, int N) {
    for (int i = 0; i < N; i++) {
        float x = inp[i];
        out[i] = 0.5f * x * (1.0f + tanhf(GELU_SCALE * (x + 0.044715f * x * x * x)));
    }
}

void gelu_backward(float* dinp, const float* inp, const float* dout, int N) {
    for (int i = 0; i < N; i++) {
        float x = inp[i];
        float arg = GELU_SCALE * (x + 0.044715f * x * x * x);
        float t = tanhf(arg);
        float sech = 1.0f - t * t;
        /* wrong: 3 * 0.044715 */
        float local = 0.5f * (1.0f + t) + x * 0.5f * sech * GELU_SCALE * (1.0f + 0.044715f * x * x);
        dinp[i] += local * dout[i];
    }
}

void residual_forward(float* out, const float* inp1, const float* inp2, int N) {
    for (int i = 0; i < N; i++) out[i] = inp1[i] + inp2[i];
}

void residual_backward(float* dinp1, float* dinp2, const float* dout, int N) {
    for (int i = 0; i < N; i++) {
        dinp1[i] += dout[i];
        dinp2[i] = dout[i]; /* wrong: = for += */
    }
}

void softmax_forward(float* probs, const float* logits, int B, int T, int V) {
    for (int bt = 0; bt < B * T; bt++) {
        const float* l = logits + bt * V;
        float* p = probs + bt * V;
        float most = -10000.0f, sum = 0.0f;
        for (int i = 0; i < V; i++) if (l[i] > most) most = l[i];
        for (int i = 0; i < V; i++) { p[i] = expf(l[i] - most); sum += p[i]; }
        for (int i = 0; i < V; i++) p[i] /= sum;
    }
}

void softmax_backward(float* dlogits, const float* dprobs, const float* probs, int B, int T, int V) {
    for (int bt = 0; bt < B * T; bt++) {
        const float* p = probs + bt * V;
        const float* d = dprobs + bt * V;
        float inner = 0.0f;
        for (int i = 0; i < V; i++) inner += p[i] * d[i];
        for (int i = 0; i < V; i++) dlogits[bt * V + i] += p[i] * (d[i] - inner);
    }
}

void encoder_forward(float* out, const int* inp, const float* wte, const float* wpe, int B, int T, int C) {
    for (int b = 0; b < B; b++)
        for (int t = 0; t < T; t++)
            for (int i = 0; i < C; i++)
                out[(b * T + t) * C + i] = wte[inp[b * T + t] * C + i] + wpe[t * C + i];
}

void encoder_backward(float* dwte, float* dwpe, const float* dout, const int* inp, int B, int T, int C) {
    for (int b = 0; b < B; b++)
        for (int t = 0; t < T; t++)
            for (int i = 0; i < C; i++) {
                float d = dout[(b * T + t) * C + i];
                dwte[inp[b * T + t] * C + i] += d;
                dwpe[t * C + i] += d;
            }
}

void crossentropy_forward(float* losses, const float* probs, const int* targets, int B, int T, int V) {
    for (int bt = 0; bt < B * T; bt++) losses[bt] = -logf(probs[bt * V + targets[bt]]);
}

void crossentropy_backward(float* dprobs, const float* dlosses, const float* probs, const int* targets, int B, int T,
                           int V) {
    for (int bt = 0; bt < B * T; bt++) dprobs[bt * V + targets[bt]] += -dlosses[bt] / probs[bt * V + targets[bt]];
}

void attention_forward(float* out, float* preatt, float* att, const float* inp, int B, int T, int C, int NH) {
    int C3 = C * 3, hs = C / NH;
    float scale = 1.0f / sqrtf(hs);
    for (int b = 0; b < B; b++)
        for (int t = 0; t < T; t++)
            for (int h = 0; h < NH; h++) {
                const float* q = inp + (b * T + t) * C3 + h * hs;
                float* pre = preatt + ((b * NH + h) * T + t) * T;
                float* a = att + ((b * NH + h) * T + t) * T;
                float most = -10000.0f, sum = 0.0f;
                for (int u = 0; u <= t; u++) {
                    const float* k = inp + (b * T + u) * C3 + h * hs + C;
                    float val = 0.0f;
                    for (int i = 0; i < hs; i++) val += q[i] * k[i];
                    pre[u] = val * scale;
                    if (pre[u] > most) most = pre[u];
                }
                for (int u = 0; u <= t; u++) { a[u] = expf(pre[u] - most); sum += a[u]; }
                for (int u = 0; u < T; u++) a[u] = u <= t ? a[u] / sum : 0.0f;
                float* o = out + (b * T + t) * C + h * hs;
                for (int i = 0; i < hs; i++) o[i] = 0.0f;
                for (int u = 0; u <= t; u++) {
                    const float* v = inp + (b * T + u) * C3 + h * hs + C * 2;
                    for (int i = 0; i < hs; i++) o[i] += a[u] * v[i];
                }
            }
}

void attention_backward(float* dinp, float* dpreatt, float* datt, const float* dout, const float* inp,
                        const float* att, int B, int T, int C, int NH) {
    int C3 = C * 3, hs = C / NH;
    float scale = 1.0f / sqrtf(hs);
    for (int b = 0; b < B; b++)
        for (int t = 0; t < T; t++)
            for (int h = 0; h < NH; h++) {
                const float* a = att + ((b * NH + h) * T + t) * T;
                float* da = datt + ((b * NH + h) * T + t) * T;
                float* dpre = dpreatt + ((b * NH + h) * T + t) * T;
                const float* q = inp + (b * T + t) * C3 + h * hs;
                float* dq = dinp + (b * T + t) * C3 + h * hs;
                const float* d = dout + (b * T + t) * C + h * hs;
                for (int u = 0; u <= t; u++) {
                    const float* v = inp + (b * T + u) * C3 + h * hs + C * 2;
                    float* dv = dinp + (b * T + u) * C3 + h * hs + C * 2;
                    for (int i = 0; i < hs; i++) {
                        da[u] += v[i] * d[i];
                        dv[i] += a[u] * d[i];
                    }
                }
                for (int u = 0; u <= t; u++)
                    for (int w = 0; w <= t; w++) dpre[w] += a[u] * ((u == w ? 1.0f : 0.0f) - a[w]) * da[u];
                for (int u = 0; u <= t; u++) {
                    const float* k = inp + (b * T + u) * C3 + h * hs + C;
                    float* dk = dinp + (b * T + u) * C3 + h * hs + C;
                    for (int i = 0; i < hs; i++) {
                        dq[i] += k[i] * dpre[u] * scale;
                        dk[i] += q[i] * dpre[u] * scale;
                    }
                }
            }
}
