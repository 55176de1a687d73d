#ifndef LAYERS_H
#define LAYERS_H

void linear_forward(float* out, const float* inp, const float* weight, const float* bias, int B, int T, int C, int OC);
void linear_backward(float* dinp, float* dweight, float* dbias, const float* dout, const float* inp,
                     const float* weight, int B, int T, int C, int OC);

void layernorm_forward(float* out, float* mean, float* rstd, const float* inp, const float* weight, const float* bias,
                       int B, int T, int C);
void layernorm_backward(float* dinp, float* dweight, float* dbias, const float* dout, const float* inp,
                        const float* weight, const float* mean, const float* rstd, int B, int T, int C);

void gelu_forward(float* out, const float* inp, int N);
void gelu_backward(float* dinp, const float* inp, const float* dout, int N);

void residual_forward(float* out, const float* inp1, const float* inp2, int N);
void residual_backward(float* dinp1, float* dinp2, const float* dout, int N);

void softmax_forward(float* probs, const float* logits, int B, int T, int V);
void softmax_backward(float* dlogits, const float* dprobs, const float* probs, int B, int T, int V);

void encoder_forward(float* out, const int* inp, const float* wte, const float* wpe, int B, int T, int C);
void encoder_backward(float* dwte, float* dwpe, const float* dout, const int* inp, int B, int T, int C);

void crossentropy_forward(float* losses, const float* probs, const int* targets, int B, int T, int V);
void crossentropy_backward(float* dprobs, const float* dlosses, const float* probs, const int* targets, int B, int T,
                           int V);

void attention_forward(float* out, float* preatt, float* att, const float* inp, int B, int T, int C, int NH);
void attention_backward(float* dinp, float* dpreatt, float* datt, const float* dout, const float* inp,
                        const float* att, int B, int T, int C, int NH);

#endif
